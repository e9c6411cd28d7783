"""Text models that run in this process without torch: their files, their graphs, and what runs them."""
