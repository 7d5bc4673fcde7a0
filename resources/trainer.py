"""The trainer as a Dagster resource: a process of its own, spoken to through Pipes."""

import sys

import dagster as dg

from pipeline.training.jobs import TrainingJob


class TrainerResource(dg.ConfigurableResource):
    """Starts `python -m pipeline.training` and waits for it; logs, losses and pictures stream back."""

    def train(self, context: dg.AssetExecutionContext, job: TrainingJob) -> dg.MaterializeResult:
        """Run the job to its end, or go on with it where it stopped."""
        client = dg.PipesSubprocessClient()
        command = [sys.executable, "-m", "pipeline.training"]
        invocation = client.run(command=command, context=context, extras={"job": job.model_dump(mode="json")})
        return invocation.get_materialize_result()
