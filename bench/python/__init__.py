"""Results and single steps for Python users; `bench/public` lists the names."""
