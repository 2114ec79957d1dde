"""What the coder works on: the files of a reply, the user's own, the diff, and the report."""
