"""What operators do: check an installation, read logs, delete a thread, begin an agent."""
