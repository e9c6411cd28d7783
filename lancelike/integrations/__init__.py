"""lancelike inside other frameworks, a module each; none is imported unless asked for."""
