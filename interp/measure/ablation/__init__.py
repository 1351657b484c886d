"""What every language loses when the units most specialized in one of them are removed."""
