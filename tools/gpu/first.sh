# The first call on a machine with a GPU, about 8 minutes: OUT=FOLDER bash tools/gpu/first.sh, from the repository's root.
# Every step has its own limit and its line in steps.txt; one that fails stops no other.
. tools/gpu/steps.sh
(nvidia-smi; nvcc --version | tail -2; python3 --version) >"$OUT/machine.txt" 2>&1
step findings.jsonl 60 $minutes environment
for products in float32 split tf32; do step findings.jsonl 100 $minutes compile $products & done
wait
for products in float32 split tf32; do step findings.jsonl 60 $minutes against-cpu $products; done
step findings.jsonl 90 $minutes race
step findings.jsonl 70 $minutes race tf32
step launches.txt 60 python3 -m tools.gpu.profile
step sanitizer.txt 45 compute-sanitizer --tool memcheck $minutes once float32 small
step sanitizer.txt 60 compute-sanitizer --tool racecheck $minutes once split small
step kernels.txt 70 ncu --clock-control none --section SpeedOfLight --section Occupancy --section LaunchStats \
  --section WarpStateStats -k 'regex:convolve|weight_gradient|pool|finish' -c 24 $minutes once float32 0
tar czf "$OUT/kernel-cache.tgz" -C ~ .cupy/kernel_cache 2>/dev/null
tail -c 6000 "$OUT/findings.jsonl"
cat "$OUT/steps.txt"
