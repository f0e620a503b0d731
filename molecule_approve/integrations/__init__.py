"""What other programs call, each in its own form: agents' hooks, so far."""
