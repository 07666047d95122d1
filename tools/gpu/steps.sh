# The head of first.sh and second.sh. It installs .wheels/*.whl beside the tree: `pip wheel --no-deps --wheel-dir .wheels .`,
# and array-api-compat, typer and what else of our dependencies the machine lacks. It defines `step LOG LIMIT COMMAND...`,
# which runs a command for at most LIMIT seconds.
set -u
: "${OUT:?set OUT to an empty folder for the results}"
site=/tmp/leakysm-site  # in both calls: the cache knows kernels by their path too
rm -rf "$site"
python3 -m pip install -q --no-index --no-deps --no-compile --target "$site" .wheels/*.whl || echo "wheels: failed"
# The wheel comes first: the tree's own package lacks its stored data.
export PYTHONPATH="$site:$PWD" PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1
step() {
  local log=$1 limit=$2 begin=$SECONDS
  shift 2
  timeout -k 5 "$limit" "$@" >>"$OUT/$log" 2>&1
  echo "status $?, $((SECONDS - begin)) s, ended at $SECONDS: $*" | tee -a "$OUT/steps.txt"
}
minutes="python3 -m tools.gpu.first_minutes"
