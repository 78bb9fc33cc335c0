#!/usr/bin/env bash
# What one GPU can tell, in one command. Each part is in OUT before the next begins:
#     log.txt            environment, tests on CUDA, the table of benchmarks/step.py, end-to-end speed, the training
#     step.json          all measurements of that table
#     training.tar       horse2zebra at 256² for the seconds that are left: report, metrics, samples, config, log
#     gen_*.safetensors  its generators in half precision
#     translations.tar   the test images in the other domain
#
#     benchmarks/gpu.sh DATA OUT SECONDS [OVERRIDE...]     DATA holds trainA trainB testA testB
#     benchmarks/gpu.sh --rehearse OUT                     the same with drawn images and tiny networks, on any machine
#
# PYTHON is the interpreter. Packages that it lacks are taken from .gpu/wheels, which benchmarks/gpu_pack.sh fills.
set -euo pipefail
here=$(realpath "$(dirname "$0")/..")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONPATH=$here:$work/packages:${PYTHONPATH:-} TORCHINDUCTOR_CACHE_DIR=$work/compiled
python() { command "${PYTHON:-python3}" "$@"; }

size=256 step=(--sizes 256 --batches 1 8 --settings float32 bf16+channels_last+fused bf16+channels_last+fused+compile
    bf16 bf16+channels_last bf16+channels_last+fused+reduce-overhead)
if [ "$1" = --rehearse ]; then
    data=$work/photos out=$2 seconds=100 size=32 limit=300
    set -- model.generator.width=8 model.generator.blocks=1 model.discriminator.width=8 model.discriminator.layers=1 \
        data.load_size=36 data.crop_size=32
    step=(--sizes 32 --batches 2 1 --settings float32 bf16+channels_last+fused --width 8 --turns 2 --seconds 300)
    (cd "$here/benchmarks" && python -c 'import pathlib, sys, overhead
overhead.draw_photos(pathlib.Path(sys.argv[1]), count=12, size=40)' "$data")
else
    data=$(realpath "$1") out=$2 seconds=$3 limit=$((seconds / 3))
    shift 3
fi
mkdir -p "$out"
out=$(realpath "$out")
cd "$here"
exec > >(tee "$out/log.txt") 2>&1
for wheel in .gpu/wheels/*.whl; do
    [ ! -e "$wheel" ] || python -m zipfile -e "$wheel" "$work/packages"
done
workers=$(nproc)
count() { find "$data/$1" -type f | wc -l; }
images=$(count trainA)
images=$(($(count trainB) > images ? $(count trainB) : images))
part() { printf '\n== %s, at %s s\n' "$1" "$SECONDS"; }
train() { # NAME OVERRIDE...
    python -m cyclegan.train data.root="$data" run_dir="$work/$1" logger=csv features=random callbacks=ema_short \
        data.num_workers=$((workers > 4 ? workers - 3 : 1)) "${@:2}"
}

part environment
nvidia-smi || true
python -m torch.utils.collect_env || true

part "tests on CUDA"
timeout $((seconds / 5)) "${PYTHON:-python3}" -m pytest -m gpu tests/test_gpu.py tests/methods/test_precisions.py -p no:cacheprovider || true

part "a step at $size²"
timeout "$limit" "${PYTHON:-python3}" benchmarks/step.py --seconds $((seconds / 5)) "${step[@]}" --json "$out/step.json" || true
read -r batch speed recipe <<<"$(python benchmarks/gpu_recipe.py "$out/step.json" ||
    echo 4 30 data.batch_size=4 model.optimizer.lr=4e-4)"
read -ra recipe <<<"$recipe"

# About ten seconds of batches, of which metrics.csv has the speed of each third, and the seconds that a start takes.
part "end to end from image files: ${recipe[*]}"
third=$(python -c 'import sys; speed, batch, images = map(float, sys.argv[1:])
print(max(1, int(min(3.5 * speed, images / 3) / batch)))' "$speed" "$batch" "$images")
measure() {
    begun=$SECONDS
    train speed "${recipe[@]}" overwrite=true trainer.max_epochs=1 trainer.limit_train_batches=$((3 * third)) \
        trainer.log_every_n_steps="$third" '~callbacks.validation' '~callbacks.alarms' '~callbacks.early_stopping' \
        '~callbacks.report' callbacks.checkpointing.best=null "$@"
}
measure "$@" || { recipe+=(model.compile=false) && measure "$@"; }
start=$((SECONDS - begun))
speed=$(python -c 'import csv, sys
print([row["images_per_s"] for row in csv.DictReader(open(sys.argv[1])) if row["images_per_s"]][-1])' "$work/speed/metrics.csv")
echo "pairs/s end to end: $speed; seconds with the start: $start"

# As many epochs as fit, at most the paper's 200, with a minute for the translations.
left=$((seconds - SECONDS - 60))
left=$((left > 20 ? left : 20))
epochs=$(python -c 'import sys; left, speed, images = map(float, sys.argv[1:])
print(min(200, max(1, int(left * 0.9 * speed / images))))' $((left - start)) "$speed" "$images")
part "training for $epochs epochs: ${recipe[*]}"
train trained "${recipe[@]}" trainer.max_epochs="$epochs" trainer.max_time="$(printf '00:00:%02d:%02d' $((left / 60)) $((left % 60)))" \
    callbacks.validation.every_n_epochs=$(((epochs + 1) / 2)) callbacks.checkpointing.every_n_minutes=2 \
    "$@" || true
tar -C "$work/trained" --exclude=checkpoints -cf "$out/training.tar" . || true

part "generators and translations"
python benchmarks/half_precision.py "$work/trained" "$out" &
started=($!)
for direction in A2B B2A; do
    python -m cyclegan.translate --checkpoint "$work/trained" --input "$data/test${direction%2*}" \
        --output "$work/translations/$direction" --direction "$direction" --format jpg --batch-size 8 &
    started+=($!)
done
for process in "${started[@]}"; do # a plain wait would wait for tee too
    wait "$process" || true
done
tar -C "$work" -cf "$out/translations.tar" translations
part end
