"""What the HTTP runtime costs beyond training."""
