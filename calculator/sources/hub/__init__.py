"""The Hugging Face Hub: what is asked, how long, and what its refusals mean."""
