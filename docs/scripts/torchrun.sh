#!/bin/bash
# Train on several machines without a scheduler. The same command on each of them, with the first one's address:
#
#     MACHINES=2 GPUS=4 FIRST=192.168.0.1:29400 docs/scripts/torchrun.sh experiment=folders data.root=images name=mine
#
# If a process dies, torchrun restarts all of them, and they go on from the last checkpoint, at most ten times.
exec torchrun --nnodes="$MACHINES" --nproc-per-node="$GPUS" --max-restarts=10 \
    --rdzv-backend=c10d --rdzv-endpoint="$FIRST" --rdzv-id=cyclegan \
    -m cyclegan.train trainer=ddp trainer.num_nodes="$MACHINES" trainer.devices="$GPUS" resume=auto "$@"
