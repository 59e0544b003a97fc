# Sourced by kit.sh: is the engine well, is the image the right one, and what to do when not. One remedy for each error.
# shellcheck shell=bash disable=SC2153,SC2154  # the variables are kit.sh's

die() { printf 'kit.sh: %s\n' "$1" >&2; [ -z "${2:-}" ] || printf '  remedy: %s\n' "$2" >&2; exit 2; }
note() { printf 'kit.sh: %s\n' "$1" >&2; }

# The image variant for this machine's driver and GPUs: env/torch_builds.py in bash, for hosts without Python.
choose_torch() {
  local gpus oldest driver
  gpus=$(nvidia-smi --query-gpu=driver_version,compute_cap --format=csv,noheader 2>/dev/null) || { echo auto; return; }
  driver=${gpus%%.*}
  oldest=$(sed 's/.*, *//; s/\.//' <<< "$gpus" | sort -n | head -1)
  if [ "${driver:-0}" -ge 580 ] && [ "${oldest:-0}" -ge 75 ]; then echo cuda; else echo cuda12; fi
}

# What an engine's message asks for.
remedy_for() {
  case $1 in
    *"permission denied"*sock*|*"permission denied"*daemon*) echo "sudo usermod -aG docker \$USER, log in again; or RUNTIME=podman" ;;
    *"Cannot connect to the Docker daemon"*|*"daemon running"*) echo "sudo systemctl start docker; or RUNTIME=podman" ;;
    *"could not select device driver"*|*"runtime name: nvidia"*|*nvidia-container*|*"CDI device"*|*libnvidia-ml*) gpu_remedy ;;
    *"no space left on device"*|*"disk quota exceeded"*) echo "make room on that disk (df -h shows it), or move the engine's folder to a bigger one" ;;
    *toomanyrequests*|*"pull rate limit"*) echo "the registry limits anonymous pulls: $RUNTIME login, or wait and repeat, or name a copy of the base image: BASE_IMAGE=NAME" ;;
    *"pull access denied"*|*"manifest unknown"*|*"dial tcp"*|*"no such host"*) echo "no registry answers with the base image: load one (docker/podman load) and give its name: BASE_IMAGE=NAME" ;;
    *) echo "read the engine's message above; make doctor looks at the rest" ;;
  esac
}

gpu_remedy() {
  case $RUNTIME in
    docker) echo "install nvidia-container-toolkit, then: sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker" ;;
    *) echo "install nvidia-container-toolkit, then: sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml" ;;
  esac
}

check_engine() {
  local message
  command -v "$RUNTIME" >/dev/null || die "$RUNTIME is not installed" "install it, or choose another RUNTIME (docker, podman, apptainer, none)"
  [ "$RUNTIME" != apptainer ] || return 0
  message=$(engine info 2>&1 >/dev/null) || die "$RUNTIME does not answer: $(tail -n 1 <<< "$message")" "$(remedy_for "${message:-daemon running}")"
}

# A build holds its environment two times; the CUDA one is 7 GB.
check_disk() {
  local root free_gb needed_gb=6
  case $TORCH in cuda*) needed_gb=24 ;; esac
  case $RUNTIME in docker) root='{{.DockerRootDir}}' ;; *) root='{{.Store.GraphRoot}}' ;; esac
  root=$(engine info --format "$root" 2>/dev/null) && [ -d "$root" ] || return 0
  free_gb=$(($(df -Pk -- "$root" | awk 'NR == 2 {print $4}') / 1000000))
  [ "$free_gb" -ge "$needed_gb" ] || die "$root has $free_gb GB left, building this image takes $needed_gb GB" "$(remedy_for 'no space left on device')"
}

# The authors' code must be there at the pinned commits and unchanged, because an image outlives the checkout.
check_submodules() {
  local path pinned found
  while read -r _ pinned _ path; do
    [ -n "$(ls -A "$path" 2>/dev/null)" ] || die "$path is empty" "make submodules (MIRROR=DIR without a network)"
    [ -e "$path/.git" ] || { note "$path is no git checkout: only the files that are patched can be checked"; continue; }
    found=$(git -C "$path" rev-parse HEAD) || die "git cannot read $path" "make submodules"
    [ "$found" = "$pinned" ] || die "$path is at $found, pinned is $pinned" "git -C $path checkout $pinned"
    [ -z "$(git -C "$path" status --porcelain)" ] || die "$path has local changes" "git -C $path stash --include-untracked"
  done < <(git ls-files --stage third_party | grep '^160000')
}

image_label() { engine image inspect --format "{{index .Config.Labels \"$1\"}}" "$IMAGE" 2>/dev/null; }

# Is the image built from this very commit, unchanged? Then a site without a network needs no build.
is_current() {
  local commit
  commit=$(source_commit)
  case $commit in ""|unknown|*-dirty) return 1 ;; esac
  [ "$(image_label org.opencontainers.image.revision)" = "$commit" ] && [ "$(image_label tal-repro.torch)" = "$TORCH" ]
}

check_image() {
  local version revision
  if [ "$RUNTIME" = apptainer ]; then
    [ -f "$IMAGE" ] || die "image $IMAGE is not built" "make image RUNTIME=apptainer TORCH=$TORCH"
    return
  fi
  engine image inspect "$IMAGE" >/dev/null 2>&1 || die "image $IMAGE is not built" "make image RUNTIME=$RUNTIME TORCH=$TORCH TARGET=$target"
  version=$(image_label org.opencontainers.image.version) revision=$(image_label org.opencontainers.image.revision)
  case $version in
    "$VERSION") ;;
    ""|"<no value>") note "image $IMAGE does not say which kit it holds (docker/kit.sh build adds labels)"; return ;;
    *) die "image $IMAGE holds kit $version, this checkout is $VERSION" "make image RUNTIME=$RUNTIME TORCH=$TORCH TARGET=$target" ;;
  esac
  [ "$revision" = "$(source_commit)" ] || note "image $IMAGE was built from $revision, this checkout is at $(source_commit); make image TARGET=$target brings it up to date"
}

# Start the same container on `true`: an engine that cannot is explained before the work begins.
check_start() {
  local message
  message=$(engine "$@" --entrypoint true "$IMAGE" 2>&1 >/dev/null) || die "$RUNTIME cannot start a container: $(tail -n 1 <<< "$message")" "$(remedy_for "$message")"
}

# Run a build; when it fails, say what its last words ask for. A signal to stop reaches it, Ctrl-C too.
run_and_explain() {
  local log copy tee status=0 child message
  log=$(mktemp)
  exec {copy}> >(exec tee "$log" >&2); tee=$!
  (trap - INT; exec "$@") 2>&"$copy" & child=$!
  trap 'kill -TERM "$child"' TERM HUP
  trap : INT
  while :; do status=0; wait "$child" || status=$?; kill -0 "$child" 2>/dev/null || break; done
  trap - TERM HUP INT
  exec {copy}>&-
  wait "$tee" || true
  message=$(tail -n 40 "$log")
  rm -f "$log"
  [ "$status" -lt 128 ] || exit "$status"
  [ "$status" = 0 ] || die "building $IMAGE failed" "$(remedy_for "$message")"
}

# The caller, so that results are his; a rootless daemon calls him root inside. Root (under sudo, say) is not root there:
# whoever owns the writable folder, else who called sudo, else the image's own user.
caller() {
  if [ "$RUNTIME" = docker ] && [ -z "$print" ] && engine info --format '{{.SecurityOptions}}' 2>/dev/null | grep -q rootless; then
    echo 0:0
  elif [ "$(id -u)" != 0 ]; then
    echo "$(id -u):$(id -g)"
  elif [ -d "$(writable_folder)" ] && [ "$(owner_of "$(writable_folder)")" != 0:0 ]; then
    owner_of "$(writable_folder)"
  else
    owner_for_root
  fi
}

IMAGE_USER=1000:1000 # the Dockerfile's
writable_folder() { if [ -n "${fetch:-}" ]; then echo "$DATA_DIR"; else echo "$RESULTS_DIR"; fi; }
owner_of() { stat -c %u:%g -- "$1"; }
# To whom root gives the folders that are made for him: who called sudo, else the image's user.
owner_for_root() { if [ "${SUDO_UID:-0}" != 0 ]; then echo "$SUDO_UID:${SUDO_GID:-$SUDO_UID}"; else echo "$IMAGE_USER"; fi; }

# A folder that belongs to root cannot be written by the user inside. The checkout's own is given to him; another is root's
# to give, and never given unasked.
check_owner() {
  local folder user name=RESULTS_DIR own=$own_results
  [ "$(id -u)" = 0 ] || return 0
  [ -z "${fetch:-}" ] || { name=DATA_DIR; own=$own_data; }
  folder=$(writable_folder) user=$(caller)
  if [ "$user" = 0:0 ] || [ ! -d "$folder" ] || [ "$(owner_of "$folder")" != 0:0 ]; then return 0; fi
  if [ -n "$own" ]; then
    [ -n "$print" ] || [ "$verb" = check ] || { note "$folder is given to $user: in a container nothing runs as root"; chown -R "$user" "$folder"; }
    return 0
  fi
  die "$folder belongs to root, and in a container nothing runs as root" "give it to the user inside (chown -R $user '$folder'), or name another folder: $name=DIR"
}

source_commit() {
  local commit
  commit=$(git rev-parse HEAD 2>/dev/null) || { echo unknown; return; }
  [ -z "$(git status --porcelain --untracked-files=no --ignore-submodules 2>/dev/null)" ] || commit+=-dirty
  echo "$commit"
}

# The hash that run ids carry (engines/registry.py): names and contents of a model's patches and of its lock.
patch_hash() {
  local patch
  for patch in patches/"$1"/{*.patch,requirements.lock}; do
    [ -e "$patch" ] || continue
    printf '%s\0' "${patch##*/}"
    # shellcheck disable=SC2059  # the digest's bytes, as escapes
    printf "$(sha256sum < "$patch" | cut -c1-64 | sed 's/../\\x&/g')"
  done | sha256sum | cut -c1-8
}

image_labels() {
  local file name
  echo "org.opencontainers.image.version=$VERSION"
  echo "org.opencontainers.image.revision=$(source_commit)"
  echo "org.opencontainers.image.base.name=$(base_image)"
  echo "tal-repro.torch=$TORCH"
  for file in env/{pip,light,base,cuda,cuda12,upstream}.lock; do
    name=${file##*/}
    echo "tal-repro.lock.${name%.lock}=sha256:$(sha256sum < "$file" | cut -c1-64)"
  done
  for file in patches/*/; do name=$(basename "$file"); echo "tal-repro.patches.$name=$(patch_hash "$name")"; done
  [ "$target" != upstream ] || git ls-files --stage third_party 2>/dev/null | sed -n 's/^160000 \([0-9a-f]*\) 0\tthird_party\/\(.*\)/tal-repro.upstream.\L\2\E=\1/p'
}
