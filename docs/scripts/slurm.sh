#!/bin/bash
# Train on two machines of four GPUs each, and go on after preemption, the time limit and dead machines:
#
#     sbatch docs/scripts/slurm.sh experiment=folders data.root=images name=mine
#SBATCH --nodes=2 --ntasks-per-node=4 --gpus-per-node=4 --cpus-per-task=8
#SBATCH --time=24:00:00 --signal=USR1@180
#SBATCH --requeue --open-mode=append --output=%x-%j.txt

# All processes end if one does with an error.
srun --kill-on-bad-exit=1 cyclegan-train trainer=ddp \
    trainer.num_nodes="$SLURM_NNODES" trainer.devices="$SLURM_NTASKS_PER_NODE" resume=auto "$@"
code=$?

# 75: stopped and saved, or another process is lost. Above 128: a process was killed; three times is no accident.
if [ $code -eq 75 ] || { [ $code -gt 128 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 3 ]; }; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
