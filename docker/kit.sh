#!/usr/bin/env bash
# Run a tal-repro command in one container that holds runner and workers. Needs bash and a container engine, no Python.
#
#   docker/kit.sh [--target kit|upstream] [--gpu] [--fetch] [--study FILE] [--print] -- COMMAND [ARG ...]
#   docker/kit.sh [--target kit|upstream] build
#   docker/kit.sh [--target kit|upstream] [--gpu] check     what can fail, on this machine, in seconds
#
# --gpu: with every GPU. --fetch: the one kind of container with a network; data/ is writable there and results/ absent.
# --study FILE: your own study, mounted beside results/. --print: the engine's command line, one argument a line.
# Settings (environment): RUNTIME=docker|podman|apptainer|none (explicit, never guessed; none: .venv of this checkout),
# RESULTS_DIR (default results, the one writable mount), DATA_DIR (default data, read-only), TORCH=cpu|cuda|cuda12|auto
# (image variant; chosen by the driver), IMAGE (overrides the tag), BASE_IMAGE (your own base), NAME (container name),
# ENGINE_ARGS, BUILD_ARGS, RUN_ARGS (more words for the engine, its build and its run; split at spaces), FORCE=1 (build
# an image that is up to date again).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. docker/engine.sh
. docker/early.sh

RUNTIME=${RUNTIME:-docker}
asked_torch=${TORCH:-}
TORCH=${TORCH:-$(choose_torch)}
VERSION=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' tal_repro/__init__.py)
target=kit gpu="" fetch="" study="" print="" verb=run

while [ $# -gt 0 ]; do
  case $1 in
    build|check) verb=$1 ;;
    --target) [ $# -gt 1 ] || die "--target needs a value" "--target kit or --target upstream"; target=$2; shift ;;
    --study) [ -f "${2:-}" ] || die "--study needs a file, not '${2:-}'" "give the path of a study file"; study=$2; shift ;;
    --gpu) gpu=1 ;;
    --fetch) fetch=1 ;;
    --print) print=1 ;;
    --) shift; break ;;
    -h|--help) sed -n '2,14p' docker/kit.sh; exit 0 ;;
    *) die "unknown option $1" "docker/kit.sh --help" ;;
  esac
  shift
done
case $target in kit|upstream) ;; *) die "unknown target $target" "use kit or upstream" ;; esac
case $RUNTIME in docker|podman|apptainer|none) ;; *) die "RUNTIME=$RUNTIME is not a container engine" "use docker, podman, apptainer or none" ;; esac
case $TORCH in cpu|cuda|cuda12|auto) ;; *) die "TORCH=$TORCH is not known" "use TORCH=cpu, cuda, cuda12 or auto" ;; esac
own_results=; [ -n "${RESULTS_DIR:-}" ] || own_results=1 # the checkout's own folders, which nobody chose
own_data=; [ -n "${DATA_DIR:-}" ] || own_data=1
RESULTS_DIR=$(realpath -m -- "${RESULTS_DIR:-results}")
DATA_DIR=$(realpath -m -- "${DATA_DIR:-data}")
case $RESULTS_DIR$DATA_DIR in *[:,]*) die "a mounted folder's path holds ':' or ','" "use another RESULTS_DIR or DATA_DIR" ;; esac
[ -z "$study" ] || study=$(realpath -- "$study")
case $study in *[:,]*) die "the study's path holds ':' or ','" "copy it elsewhere, or rename it" ;; esac
if [ "$RUNTIME" = apptainer ]; then
  IMAGE=${IMAGE:-tal-repro-$VERSION-$TORCH.sif} # one file serves as kit and as upstream
else
  IMAGE=${IMAGE:-localhost/tal-repro-$target:$VERSION-$TORCH}
fi

read -ra engine_args <<< "${ENGINE_ARGS:-}"
read -ra build_args <<< "${BUILD_ARGS:-}"
read -ra run_args <<< "${RUN_ARGS:-}"
engine() { "$RUNTIME" "${engine_args[@]}" "$@"; }
show_or_run() { if [ -n "$print" ]; then printf '%s\n' "$@"; else exec "$@"; fi; }

build() {
  local args=(build --file docker/Dockerfile --target "$target" --tag "$IMAGE" --build-arg "TORCH=${TORCH/auto/}") label
  while IFS= read -r label; do args+=(--label "$label"); done < <(image_labels)
  [ -z "${BASE_IMAGE:-}" ] || args+=(--build-arg "BASE_IMAGE=$BASE_IMAGE")
  # podman's own format ignores SHELL
  if [ "$RUNTIME" = podman ]; then args+=(--format docker); fi
  if [ -n "$print" ]; then printf '%s\n' "$RUNTIME" "${engine_args[@]}" "${args[@]}" "${build_args[@]}" .; return; fi
  if [ -z "${FORCE:-}" ] && is_current; then note "image $IMAGE is there, built from this commit (FORCE=1 builds again)"; return; fi
  check_disk
  run_and_explain "$RUNTIME" "${engine_args[@]}" "${args[@]}" "${build_args[@]}" .
}

build_apptainer() {
  local args=(build --build-arg "TORCH=${TORCH/auto/}" "${build_args[@]}" "$IMAGE" docker/apptainer.def)
  [ -n "$print" ] || [ ! -e "$IMAGE" ] || { note "$IMAGE is there; move it away to build it again"; return; }
  show_or_run apptainer "${args[@]}"
}

# The caller's environment stays outside but for what chooses among his GPUs and what the energy tables are made from.
passed_on() {
  local name
  for name in CUDA_VISIBLE_DEVICES TAL_REPRO_GRID TAL_REPRO_POWER; do [ -z "${!name+x}" ] || echo "$name"; done
}

run_engine() {
  # No capability, no new privilege, no network, read-only root: the one mount that can change is results (or, for a
  # fetch, data).
  local args=(run --rm --read-only --tmpfs "/tmp:rw,size=2g" --cap-drop ALL --security-opt no-new-privileges
    --shm-size 4g --user "$(caller)")
  if [ -n "$fetch" ]; then
    args+=(--volume "$DATA_DIR:/study/data")
    local proxy; for proxy in {http,https,no}_proxy {HTTP,HTTPS,NO}_PROXY; do [ -z "${!proxy:-}" ] || args+=(--env "$proxy"); done
  else
    args+=(--network none --volume "$RESULTS_DIR:/study/results" --volume "$DATA_DIR:/study/data:ro")
  fi
  [ -z "$study" ] || args+=(--volume "$study:/study/$(basename -- "$study"):ro")
  # rootless podman: the caller's user is himself inside too
  [ "$RUNTIME" != podman ] || [ "$(id -u)" = 0 ] || args+=(--userns keep-id)
  if [ -n "$gpu" ]; then
    case $RUNTIME in docker) args+=(--gpus all) ;; podman) args+=(--device nvidia.com/gpu=all) ;; esac
  fi
  local setting; for setting in $(passed_on); do args+=(--env "$setting"); done
  args+=(--env "TAL_REPRO_IMAGE_DIGEST=$(image_digest)")
  [ -n "$print" ] || check_start "${args[@]}" "${run_args[@]}"
  [ ! -t 0 ] || [ ! -t 1 ] || args+=(--interactive --tty)
  [ -z "${NAME:-}" ] || args+=(--name "$NAME")
  show_or_run "$RUNTIME" "${engine_args[@]}" "${args[@]}" "${run_args[@]}" "$IMAGE" "$@"
}

run_apptainer() {
  local args=(run --containall --no-home --writable-tmpfs --pwd /study --env "TAL_REPRO_IMAGE_DIGEST=apptainer:$IMAGE")
  if [ -n "$fetch" ]; then args+=(--bind "$DATA_DIR:/study/data"); else
    args+=(--net --network none --bind "$RESULTS_DIR:/study/results" --bind "$DATA_DIR:/study/data:ro")
  fi
  [ -z "$study" ] || args+=(--bind "$study:/study/$(basename -- "$study"):ro")
  [ -z "$gpu" ] || args+=(--nv)
  # in apptainer's own variables: it splits the value of --env at commas
  local setting; for setting in $(passed_on); do export "APPTAINERENV_$setting=${!setting}"; done
  show_or_run apptainer "${args[@]}" "${run_args[@]}" "$IMAGE" "$@"
}

run_none() {
  local program=${VENV:-.venv}/bin/tal-repro
  [ -n "$print" ] || [ -x "$program" ] || die "$program is not there" "make setup, or RUNTIME=docker"
  show_or_run "$program" "$@"
}

image_digest() {
  local id="<digest>"
  [ -n "$print" ] || id=$(engine image inspect --format '{{.Id}}' "$IMAGE")
  echo "sha256:${id#sha256:}" # docker says sha256:, podman does not
}

if [ "$verb" = check ]; then check_early; exit 0; fi
[ "$verb" = build ] || [ $# -gt 0 ] || die "no command to run" "docker/kit.sh -- verify"
[ -n "$print" ] || [ "$RUNTIME" = none ] || check_engine
if [ "$verb" = build ]; then
  [ "$target" = kit ] || [ -n "$print" ] || check_submodules
  case $RUNTIME in
    none)
      if [ "$target" = upstream ]; then layer=upstream; else layer=full; fi
      TORCH=${asked_torch/auto/} show_or_run make "${VENV:-.venv}/.$layer" # env/setup.py chooses where nobody did
      ;;
    apptainer) build_apptainer ;;
    *) build ;;
  esac
  exit 0
fi
if [ -z "$print" ] && [ "$RUNTIME" != none ]; then
  for folder in "$RESULTS_DIR" "$DATA_DIR"; do
    [ -d "$folder" ] || { mkdir -p "$folder"; [ "$(id -u)" != 0 ] || chown "$(owner_for_root)" "$folder"; }
  done
  [ "$RUNTIME" = apptainer ] || check_owner
  check_image
fi
case $RUNTIME in none) run_none "$@" ;; apptainer) run_apptainer "$@" ;; *) run_engine "$@" ;; esac
