#!/usr/bin/env bash
# Drives the emulator of Runloop's API with the vendor's SDK and with ComputeSDK, and this library's handler with the
# browser client that ComputeSDK had.
#   run.sh [-v] [script...]    runs the scripts (names such as "devbox"; all of them if none is named)
#   run.sh --prove             breaks one promise for each script, runs the tests that are about those
#                              promises, and fails unless all of them fail
#   run.sh --prove-all         the same with all tests, of which exactly those must fail
# Needs Go and Node.js 20 or later. What the scripts install stays in node_modules.
set -euo pipefail
cd "$(dirname "$0")"

prove='' verbose=()
while [ $# -gt 0 ]; do
	case $1 in
	--prove) prove=1 ;;
	--prove-all) prove=1; export INTEROP_ALL=1 ;;
	-v) verbose=(-v) ;;
	-*) echo "usage: run.sh [--prove | --prove-all] [-v] [script...]" >&2; exit 2 ;;
	*) break ;;
	esac
	shift
done
scripts=("$@")
if ((${#scripts[@]} == 0)); then
	scripts=()
	for f in scripts/*.test.mjs; do f=${f#scripts/}; scripts+=("${f%.test.mjs}"); done
fi

tmp=$(mktemp -d)
emulator=''
finish() {
	status=$?
	trap - EXIT
	if [ -n "$emulator" ]; then kill "$emulator" 2>/dev/null || true; wait "$emulator" 2>/dev/null || true; fi
	rm -rf "$tmp"
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

if [ ! -d node_modules ] || ! cmp -s package-lock.json node_modules/.interop-lock; then
	npm ci --no-audit --no-fund --ignore-scripts >/dev/null
	cp package-lock.json node_modules/.interop-lock
fi
(cd emulator && go build -o "$tmp/emulator" .)
go build -o "$tmp/handler" ./handler
export INTEROP_HANDLER="$tmp/handler"

# The browser client is in no registry any more: it is built from a clone of ComputeSDK's repository, where there is one.
if [ -n "${COMPUTE_COMPUTESDK:-}" ]; then
	export INTEROP_UI="$tmp/ui"
	mkdir "$INTEROP_UI" "$tmp/esbuild"
	cp ui/* "$INTEROP_UI"
	npm install --prefix "$tmp/esbuild" --no-audit --no-fund --ignore-scripts esbuild@0.25.12 >/dev/null
	for era in D=24d7071fb4b1918ea4126d5d61ec10f0820083fb E=394e1e6dff6c2a5278bb69f326870970721fa1b8; do
		mkdir "$tmp/${era%%=*}"
		git -C "$COMPUTE_COMPUTESDK" archive "${era#*=}" packages/ui/src | tar -x -C "$tmp/${era%%=*}"
		"$tmp/esbuild/node_modules/.bin/esbuild" --bundle --format=esm --log-level=warning \
			--outfile="$INTEROP_UI/${era%%=*}.mjs" "$tmp/${era%%=*}/packages/ui/src/index.ts"
	done
else
	echo "the handler is not held against ComputeSDK's browser client: COMPUTE_COMPUTESDK names no clone of its repository"
fi

# All traffic is held against the vendor's OpenAPI document, where that is present.
openapi=${COMPUTE_RUNLOOP_OPENAPI:-../../shared/runloop/openapi.yml}
contract=()
if [ -n "$prove" ]; then
	contract=(-misbehave)
elif [ -r "$openapi" ]; then
	contract=(-openapi "$openapi" -newer ../providers/runloop/runloopapi/testdata/newer.yml)
else
	echo "traffic is not held against the OpenAPI document: there is no $openapi"
fi
mkdir "$tmp/state"
"$tmp/emulator" -dir "$tmp/state" "${contract[@]}" "${verbose[@]}" >"$tmp/ready" &
emulator=$!
for _ in $(seq 300); do
	[ -s "$tmp/ready" ] && break
	kill -0 "$emulator" 2>/dev/null || { echo "the emulator has not started" >&2; exit 1; }
	sleep 0.1
done
export RUNLOOP_BASE_URL RUNLOOP_API_KEY INTEROP_EMULATOR="$tmp/emulator"
{ read -r RUNLOOP_BASE_URL; read -r RUNLOOP_API_KEY; } < <(node -p 'const r = JSON.parse(fs.readFileSync(process.argv[1], "utf8").split("\n")[0]); `${r.url}\n${r.api_key}`' "$tmp/ready")

[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] || { echo "node $(node --version) is too old: 20.11 is needed" >&2; exit 1; }
files=("${scripts[@]/#/scripts/}")
files=("${files[@]/%/.test.mjs}")
status=0
if [ -n "$prove" ]; then
	INTEROP_MISBEHAVE=1 node prove.mjs "${scripts[@]}" || status=$?
else
	node --test --test-reporter=spec --test-concurrency=4 --test-timeout=60000 "${files[@]}" || status=$?
fi

# The scripts have given up what they made; the emulator gives up the rest, and says what is left then.
kill -TERM "$emulator"
wait "$emulator" || { echo "the emulator did not end well" >&2; status=1; }
sed -n '2,$p' "$tmp/ready"
emulator=''
if grep -lsF "$tmp" /proc/[0-9]*/cmdline >/dev/null; then
	echo "processes of the emulator are left" >&2
	status=1
fi
exit "$status"
