#!/usr/bin/env bash
# Run a tal-repro command in one container that holds runner and workers. Needs bash and a container engine, no Python.
#
#   docker/kit.sh [--target kit|upstream] [--gpu] [--network] [--print] -- COMMAND [ARG ...]
#   docker/kit.sh build [--target kit|upstream]
#
# Settings (environment): RUNTIME=docker|podman|apptainer (explicit, never guessed), RESULTS_DIR (default results, the
# one writable mount), DATA_DIR (default data, read-only), TORCH=cpu|cuda (image variant), IMAGE (overrides the tag),
# BASE_IMAGE (your own base), NAME (container name), ENGINE_ARGS and RUN_ARGS (more words for the engine and for its
# run; split at spaces). --print shows the engine's command line, one argument a line.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() { printf 'kit.sh: %s\n' "$1" >&2; [ -z "${2:-}" ] || printf '  remedy: %s\n' "$2" >&2; exit 2; }

RUNTIME=${RUNTIME:-docker}
RESULTS_DIR=$(realpath -m -- "${RESULTS_DIR:-results}")
DATA_DIR=$(realpath -m -- "${DATA_DIR:-data}")
TORCH=${TORCH:-cuda}
VERSION=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' tal_repro/__init__.py)
target=kit gpu="" network=none print="" verb=run

while [ $# -gt 0 ]; do
  case $1 in
    build) verb=build ;;
    --target) [ $# -gt 1 ] || die "--target needs a value" "--target kit or --target upstream"; target=$2; shift ;;
    --gpu) gpu=1 ;;
    --network) network=bridge ;;
    --print) print=1 ;;
    --) shift; break ;;
    -h|--help) sed -n '2,12p' "$0"; exit 0 ;;
    *) die "unknown option $1" "docker/kit.sh --help" ;;
  esac
  shift
done
case $target in kit|upstream) ;; *) die "unknown target $target" "use kit or upstream" ;; esac
case $RUNTIME in docker|podman|apptainer) ;; *) die "RUNTIME=$RUNTIME is not a container engine" "use docker, podman or apptainer; RUNTIME=none runs without this script" ;; esac
case $TORCH in cpu|cuda) ;; *) die "TORCH=$TORCH is not known" "use TORCH=cpu or TORCH=cuda" ;; esac
IMAGE=${IMAGE:-localhost/tal-repro-$target:$VERSION-$TORCH}

read -ra engine_args <<< "${ENGINE_ARGS:-}"
read -ra run_args <<< "${RUN_ARGS:-}"
engine() { "$RUNTIME" "${engine_args[@]}" "$@"; }

show_or_run() { if [ -n "$print" ]; then printf '%s\n' "$@"; else exec "$@"; fi; }

need_engine() {
  [ -n "$print" ] && return 0
  command -v "$RUNTIME" >/dev/null || die "$RUNTIME is not installed" "install it, or choose another RUNTIME (docker, podman, apptainer, none)"
  [ "$RUNTIME" = apptainer ] || engine info >/dev/null 2>&1 || die "$RUNTIME does not answer (is its daemon running, may you use it?)" "start it (systemctl start docker) and join its group, or RUNTIME=podman"
}

build() {
  local args=(build --file docker/Dockerfile --target "$target" --tag "$IMAGE" --build-arg "TORCH=$TORCH" --build-arg "KIT_VERSION=$VERSION")
  [ -z "${BASE_IMAGE:-}" ] || args+=(--build-arg "BASE_IMAGE=$BASE_IMAGE")
  if [ "$RUNTIME" = podman ]; then args+=(--format docker); fi
  [ "$RUNTIME" != apptainer ] || die "apptainer images are built from docker/apptainer.def" "apptainer build $IMAGE docker/apptainer.def"
  show_or_run "$RUNTIME" "${engine_args[@]}" "${args[@]}" .
}

run_engine() {
  # No capability, no new privilege, no network, read-only root: the results mount is the only thing that can change.
  local args=(run --rm --network "$network" --read-only --tmpfs "/tmp:rw,size=2g" --cap-drop ALL
    --security-opt no-new-privileges --shm-size 2g --user "$(id -u):$(id -g)"
    --volume "$RESULTS_DIR:/results" --volume "$DATA_DIR:/data:ro")
  [ "$RUNTIME" != podman ] || args+=(--userns keep-id)
  [ -z "${NAME:-}" ] || args+=(--name "$NAME")
  if [ -n "$gpu" ]; then
    case $RUNTIME in docker) args+=(--gpus all) ;; podman) args+=(--device nvidia.com/gpu=all) ;; esac
  fi
  [ ! -t 0 ] || [ ! -t 1 ] || args+=(--interactive --tty)
  args+=(--env "TAL_REPRO_IMAGE_DIGEST=$(image_digest)")
  show_or_run "$RUNTIME" "${engine_args[@]}" "${args[@]}" "${run_args[@]}" "$IMAGE" "$@"
}

run_apptainer() {
  local args=(run --containall --no-home --writable-tmpfs --bind "$RESULTS_DIR:/results" --bind "$DATA_DIR:/data:ro")
  [ -z "$gpu" ] || args+=(--nv)
  args+=(--env "TAL_REPRO_IMAGE_DIGEST=apptainer:$IMAGE")
  show_or_run apptainer "${args[@]}" "$IMAGE" "$@"
}

image_digest() {
  if [ -n "$print" ]; then echo "sha256:<digest>"; return; fi
  engine image inspect --format '{{.Id}}' "$IMAGE"
}

need_engine
if [ "$verb" = build ]; then build; exit 0; fi
[ $# -gt 0 ] || die "no command to run" "docker/kit.sh -- verify"
if [ -z "$print" ]; then
  mkdir -p "$RESULTS_DIR" "$DATA_DIR"
  [ "$RUNTIME" = apptainer ] || engine image inspect "$IMAGE" >/dev/null 2>&1 || die "image $IMAGE is not built" "make image RUNTIME=$RUNTIME TORCH=$TORCH"
fi
if [ "$RUNTIME" = apptainer ]; then run_apptainer "$@"; else run_engine "$@"; fi
