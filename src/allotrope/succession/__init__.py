"""What people see of models that end: who serves which role, until when, and who comes next."""
