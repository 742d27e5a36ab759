"""Many runs at once in one allocation: slots of GPUs that runs claim themselves."""
