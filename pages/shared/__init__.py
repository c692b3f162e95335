"""What the pages share: the sidebar's inputs and the ways to show numbers."""
