"""From RunSpecs to run folders: plan, runner, executors, worker. Nothing here reads another run's results."""
