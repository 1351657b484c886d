"""What each layer would answer: logit lens and tuned lens."""
