"""A run for other tools: plain tables, TensorBoard's event files, MLflow's store."""
