#!/usr/bin/env bash
# `make reproduce-all`: from a fresh clone to the report, in the order printed. Needs bash, git, make and a container
# engine, no Python; with RUNTIME=none Python 3.11 instead of the engine. What a step finds done it leaves: interrupted
# anywhere, the same command goes on. Words on the command line go to `tal-repro plan` and `run` (--scope full, ...).
# Settings: STUDY (paper, demo, or a file), RUNTIME, YES=1 (do not ask), and those of docker/kit.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export RUNTIME=${RUNTIME:-docker}
STUDY=${STUDY:-paper}
if [ "${RESULTS:-results/runs}" != results/runs ]; then
  echo "reproduce: RESULTS is for single commands" >&2
  echo "  remedy: RESULTS_DIR=DIR moves everything, runs and report, to DIR" >&2
  exit 2
fi
# The paper's results are results/runs, results/figures, ...; every other study has a folder of its own.
folder=$(basename -- "$STUDY" .toml)
if [ "$folder" = paper ]; then folder=""; else folder=/$folder; fi
out=${RESULTS_DIR:-results}$folder
# The same folders where the commands run.
if [ "$RUNTIME" = none ]; then inside=$out data=${TAL_REPRO_DATA:-data/thumos14}; else inside=results$folder data=data/thumos14; fi
kit=(docker/kit.sh)
study=$STUDY
if [ -f "$STUDY" ] && [ "$RUNTIME" != none ]; then kit+=(--study "$STUDY"); study=$(basename -- "$STUDY"); fi

# What the study will need, as far as bash can know before the plan: a GPU and the authors' code, unless it says
# otherwise. What --only leaves is known to the plan alone: then doctor and the later steps look.
file=$STUDY
[ -f "$file" ] || file=tal_repro/studies/$STUDY.toml
asked=" $* $(cat -- "$file" 2>/dev/null || true) "
early=()
case $asked in *" --only"*) ;; *)
  # the authors' code only where the study itself names their engine
  case $asked in *engine=native*) ;; *'"upstream"'*) early+=(--target upstream) ;; esac
  case $asked in *device=cpu*|*'device = "cpu"'*) ;; *'"cuda"'*|*device=cuda*) early+=(--gpu) ;; esac ;;
esac

# `plan` knows fewer options than `run`, and `doctor` fewer still; the smoke runs take the settings alone.
plan=(--study "$study" --results "$inside/runs") run=("${plan[@]}" "$@") doctor=("${plan[@]}" --before-fetch)
smoke=(--study smoke --results "${inside%"$folder"}/smoke" --retry-failed)
while [ $# -gt 0 ]; do
  case $1 in
    --retry-failed) ;;
    --executor) shift ;;
    --set) plan+=("$1" "${2:-}"); smoke+=("$1" "${2:-}"); doctor+=("$1" "${2:-}"); shift ;;
    --scope) plan+=("$1" "${2:-}"); doctor+=("$1" "${2:-}"); shift ;;
    *) plan+=("$1") ;;
  esac
  shift
done

child="" status=0
trap '[ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM HUP
trap : INT # the terminal gives Ctrl-C to the step too; the step decides what it means

# Run a step; what ends it by a signal ends everything. `|| status=$?` after it: go on without it.
step() {
  local code
  (trap - INT; exec "$@") <&0 & child=$!
  while :; do code=0; wait "$child" || code=$?; kill -0 "$child" 2>/dev/null || break; done
  child=""
  if [ "$code" -ge 128 ]; then echo "interrupted; the same command goes on from here" >&2; exit "$code"; fi
  return "$code"
}
say() { printf '\n== %s (%s s)\n' "$1" "$SECONDS" >&2; }
plan_says() { grep -Eq "$1" "$out/plan.json"; }
# The models of the runs that read data and are not done, one a line.
models_to_train() {
  awk -F'"' '$2 == "experiment" {kind = $4} $2 == "model" {model = $4}
    $2 == "status" && $4 != "done" && kind ~ /^(baseline|data_sweep|ablation|trace)$/ {print model}' "$out/plan.json" | sort -u
}
gpu_work_is_left() {
  awk -F'"' '$2 == "device_kind" {device = $4} $2 == "status" && $4 != "done" && device == "cuda" {left = 1}
    END {exit !left}' "$out/plan.json"
}
# Is it a study on features that stand in for the authors' own (docs/data.md)? The smoke study declares those.
is_derived() { [ -f "$STUDY" ] && grep -q -- -derived-from- "$STUDY"; }

say "this machine: what can fail is asked before the first long step"
step docker/kit.sh "${early[@]}" check

say "image: the kit"
step "${kit[@]}" build

mkdir -p "$out"
"${kit[@]}" -- plan "${plan[@]}" --json > "$out/plan.json.new"
mv "$out/plan.json.new" "$out/plan.json"
gpu=() target=kit models="" layouts=()
if plan_says '"device_kind": "cuda"'; then gpu=(--gpu); fi
if plan_says '"engine": "upstream"'; then target=upstream; fi
plan_says '"synthetic": true' || models=$(models_to_train)
# TadTR reads a layout of its own, the other three share one; a model added to the kit may read either.
for model in $models; do
  case $model in tadtr) layouts+=(tadtr) ;; actionformer|tridet|temporalmaxer) layouts+=(actionformer) ;; *) layouts+=(actionformer tadtr) ;; esac
done
[ "$target" = upstream ] || smoke+=(--set engine=native)
smoke+=(--only "model=${models//$'\n'/|}")

say "doctor: is this machine fit for the study?"
step "${kit[@]}" "${gpu[@]}" -- doctor "${doctor[@]}"

say "plan"
step "${kit[@]}" -- plan "${plan[@]}"
if plan_says '"status": "(todo|partial)"' && [ -z "${YES:-}" ]; then
  [ -t 0 ] || { echo "reproduce: nobody to answer 'start?'; YES=1 starts without asking" >&2; exit 2; }
  trap - INT
  read -rp "start? [y/N] " answer
  trap : INT
  case $answer in y|Y|yes) ;; *) exit 1 ;; esac
fi

if [ "$target" = upstream ]; then
  say "image: the authors' code, patched"
  step "${kit[@]}" --target upstream build
fi

# A minute on the card before data are fetched and hours are paid. What it keeps tells how many sweeps fit on it.
if [ ${#gpu[@]} -gt 0 ] && [ "${GPU_CHECK:-}" != no ] && gpu_work_is_left; then
  case $asked in *slurm*) ;; *)
    say "gpu-check: every model on this card (GPU_CHECK=no leaves it out)"
    step "${kit[@]}" --target "$target" "${gpu[@]}" -- gpu-check --out results/reference --once ;;
  esac
fi
case $asked in *jobs_per_gpu=*) ;; *) [ ${#gpu[@]} = 0 ] || run+=(--set jobs_per_gpu=measured) ;; esac

if [ -n "$models" ]; then
  for layout in $(printf '%s\n' "${layouts[@]}" | sort -u); do
    say "data: $layout layout (the one step with a network)"
    step "${kit[@]}" --fetch -- data fetch thumos14 --layout "$layout" --out "$data"
  done
  if is_derived; then
    say "smoke: left out, the features are derived"
  else
    say "smoke: two epochs of every model, before the long runs"
    step "${kit[@]}" --target "$target" "${gpu[@]}" -- run "${smoke[@]}"
  fi
fi

say "runs"
step "${kit[@]}" --target "$target" "${gpu[@]}" -- run "${run[@]}" || status=$?

say "figures, tables, verdicts, report"
step "${kit[@]}" -- figure all --results "$inside/runs" --out "$inside/figures"
for number in 1 2; do
  step "${kit[@]}" -- table "$number" --results "$inside/runs" --out "$inside/tables/table-$number.md"
done
step "${kit[@]}" -- verify --results "$inside/runs" > "$out/verdicts.txt"
step "${kit[@]}" -- report --results "$inside/runs" --out "$inside/report"
say "done: $out/report/index.html, figures, tables, verdicts.txt"
[ "$status" = 0 ] || echo "some runs are not done (status $status): see above; the same command goes on, ARGS=--retry-failed runs failed ones again" >&2
exit "$status"
