# The second call, about 6 minutes: OUT=FOLDER bash tools/gpu/second.sh. torch.compile, the tests on the device, and the
# commands that a user runs. kernel-cache.tgz of the first call may lie in .wheels.
. tools/gpu/steps.sh
[ -f .wheels/kernel-cache.tgz ] && tar xzf .wheels/kernel-cache.tgz -C ~
leakysm="python3 -m leakysm"
step findings.jsonl 150 $minutes race compile
workers=$(python3 -c "import xdist" 2>/dev/null && printf -- "-n 8")
step tests.txt 110 python3 -m pytest -q $workers -o filterwarnings=default -p no:cacheprovider -m cuda --durations 10 tests/backends/cupy/test_cuda.py
step verify.txt 60 $leakysm verify --backend cupy
step train.txt 60 $leakysm train --device cuda --out "$OUT/run"
[ -d .omniglot ] && step omniglot.txt 120 $leakysm train --dataset omniglot --data .omniglot --device cuda --out "$OUT/omniglot"
step findings.jsonl 40 $minutes carve-out
step findings.jsonl 90 $minutes race tf32 compile
tail -c 6000 "$OUT/findings.jsonl"
tail -n 30 "$OUT/tests.txt" "$OUT/verify.txt" "$OUT/train.txt"
cat "$OUT/steps.txt"
