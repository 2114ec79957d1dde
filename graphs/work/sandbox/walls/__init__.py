"""What keeps sandboxed code in: namespaces, Landlock, seccomp, memory limits."""
