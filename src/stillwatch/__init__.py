"""stillwatch: finds adversarial distillation in a model's request logs."""
