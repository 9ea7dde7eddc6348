"""The generator of Pathfinder images, on its own: it knows nothing of tasks, of files or of training."""
