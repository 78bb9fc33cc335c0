#!/usr/bin/env bash
# What one GPU can tell: the tests on CUDA, training speed at 256², then a training for the seconds that are left, and
# translations of the test images. Each part is in OUT before the next begins.
#     benchmarks/gpu.sh DATA OUT SECONDS [OVERRIDE...]     DATA holds trainA trainB testA testB
# The overrides are added to every training: small networks and trainer.accelerator=cpu rehearse it on a CPU.
set -euo pipefail
data=$(realpath "$1") out=$(mkdir -p "$2" && realpath "$2") seconds=$3
shift 3
cd "$(dirname "$0")/.."
exec > >(tee "$out/log.txt") 2>&1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python() { PYTHONPATH=$PWD:${PYTHONPATH:-} command "${PYTHON:-python3}" "$@"; }
train() { # NAME OVERRIDE...
    python -m cyclegan.train data.root="$data" run_dir="$work/$1" logger=csv features=random data.num_workers=12 "${@:2}"
}
# The last images_per_s of a run: pairs a second of the whole loop, from JPEG files to metrics.csv.
pairs_per_s() {
    python -c 'import csv, sys; print([row["images_per_s"] for row in csv.DictReader(open(sys.argv[1])) if row["images_per_s"]][-1])' \
        "$work/$1/metrics.csv"
}

nvidia-smi || true
python -m torch.utils.collect_env | head -n 30
python -m pytest -m gpu tests/test_gpu.py -p no:cacheprovider || true

for setting in "32-true 1" "bf16-mixed 1" "bf16-mixed 4" "bf16-mixed 8"; do
    read -r precision batch <<<"$setting"
    train "$precision-$batch" trainer.precision="$precision" data.batch_size="$batch" trainer.max_epochs=1 \
        trainer.limit_train_batches=120 trainer.log_every_n_steps=40 '~callbacks.validation' '~callbacks.alarms' \
        '~callbacks.early_stopping' '~callbacks.report' callbacks.checkpointing.best=null "$@"
    echo "pairs/s: $setting $(pairs_per_s "$precision-$batch") at $SECONDS s"
done

# As many epochs as fit by the speed measured, with 100 seconds for the start, the measuring and the translations.
epochs=$(python -c 'import sys; left, speed, *images = map(float, sys.argv[1:]); print(max(1, int((left - 100) * 0.9 * speed / max(images))))' \
    $((seconds - SECONDS)) "$(pairs_per_s bf16-mixed-4)" $(find "$data/trainA" -type f | wc -l) $(find "$data/trainB" -type f | wc -l))
train trained trainer.precision=bf16-mixed data.batch_size=4 model.optimizer.lr=4e-4 callbacks=ema_short \
    trainer.max_epochs="$epochs" "$@" || true
cp "$work/trained/report.html" "$work/trained/metrics.csv" "$out/"
for direction in A2B B2A; do
    python -m cyclegan.translate --checkpoint "$work/trained/checkpoints/last.ckpt" --input "$data/test${direction%2*}" \
        --output "$work/$direction" --direction "$direction" --format jpg --batch-size 8
    tar -C "$work" -cf "$out/$direction.tar" "$direction"
done
