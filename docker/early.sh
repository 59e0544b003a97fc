# Sourced by kit.sh for its verb `check`: what can fail is asked on the host, in seconds, before an image is built.
# shellcheck shell=bash disable=SC2154  # the variables are kit.sh's

base_image() { echo "${BASE_IMAGE:-$(sed -n 's/^ARG BASE_IMAGE=//p' docker/Dockerfile)}"; }

# `nvidia-smi -L` where the runs will be. In a container the base image serves: 30 MB, and the build needs it anyway.
list_gpus() {
  case $RUNTIME in
    docker) engine run --rm --gpus all --env NVIDIA_DRIVER_CAPABILITIES=compute,utility "$(base_image)" nvidia-smi -L ;;
    podman) engine run --rm --device nvidia.com/gpu=all "$(base_image)" nvidia-smi -L ;;
    *) nvidia-smi -L ;; # apptainer takes the host's own with --nv; none is the host
  esac
}

check_gpu() {
  local answer host remedy
  host=$(nvidia-smi -L 2>/dev/null) || die "this machine's nvidia-smi lists no GPU" "install NVIDIA's driver (nvidia-smi -L must answer), or run a study that needs no GPU: STUDY=demo"
  if ! answer=$(list_gpus 2>&1); then
    remedy=$(remedy_for "$answer")
    case $answer in *nvidia-smi*"not found"*) remedy=$(gpu_remedy) ;; esac
    die "nvidia-smi -L works on this machine but not under $RUNTIME: $(tail -n 1 <<< "$answer")" "$remedy"
  fi
  grep -q '^GPU [0-9]' <<< "$answer" || die "under $RUNTIME nvidia-smi lists none of this machine's $(grep -c '^GPU' <<< "$host") GPUs" "$(gpu_remedy)"
  note "GPU under $RUNTIME: $(grep -m 1 '^GPU [0-9]' <<< "$answer" | sed 's/ (UUID.*//')"
}

# The authors' code: offer to fetch what is absent (YES=1 answers yes), then hold it to its pinned commits.
offer_submodules() {
  local path empty="" answer=${YES:+y}
  while read -r _ _ _ path; do
    [ -n "$(ls -A "$path" 2>/dev/null)" ] || empty+=" $path"
  done < <(git ls-files --stage third_party | grep '^160000')
  if [ -n "$empty" ]; then
    note "empty:$empty"
    if [ -z "$answer" ] && [ -t 0 ]; then read -rp "fetch the authors' code now (make submodules)? [y/N] " answer; fi
    case $answer in y|Y|yes) bash third_party/get.sh || die "the authors' code could not be fetched" "make submodules MIRROR=DIR takes local clones" ;; esac
  fi
  check_submodules
}

# Is the tag of the base image still the pinned digest? The digest is what is pulled, so a difference stops nothing.
check_base() {
  local base tag pinned answer
  base=$(base_image)
  case $base in *:*@sha256:*) ;; *) return 0 ;; esac
  tag=${base%@*} pinned=${base#*@}
  if ! answer=$(digest_of "$tag" 2>/dev/null) || [ -z "$answer" ]; then
    note "$tag could not be looked up at its registry; its pinned digest is used"
  elif [ "$answer" != "$pinned" ]; then
    note "$tag is now $answer, pinned is $pinned: the pinned one is used; a newer kit may pin the newer"
  fi
}

# The digest that a registry gives for a tag, without pulling it.
digest_of() {
  case $RUNTIME in
    docker) timeout 20 "$RUNTIME" "${engine_args[@]}" buildx imagetools inspect --format '{{.Manifest.Digest}}' "$1" ;;
    podman) command -v skopeo > /dev/null && timeout 20 skopeo inspect --format '{{.Digest}}' "docker://docker.io/library/$1" ;;
  esac
}

check_early() {
  [ "$RUNTIME" = none ] || check_engine
  case $RUNTIME in docker|podman) check_owner; check_base ;; esac
  [ "$target" = kit ] || offer_submodules
  case $RUNTIME in docker|podman) is_current || check_disk ;; esac
  [ -z "$gpu" ] || check_gpu
  note "checked on this machine: $RUNTIME$([ "$target" = kit ] || echo ", the authors' code")${gpu:+, GPU}"
}
