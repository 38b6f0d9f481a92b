"""The story that `commerce demo` tells, in chapters; each checks what it claims."""
