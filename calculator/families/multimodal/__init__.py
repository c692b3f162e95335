"""Language models beside towers for images, video and sound, or that read and write codes of them."""
