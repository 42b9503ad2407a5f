"""`python -m lora_tui` is `lora-tui`."""

from lora_tui.cli import main

if __name__ == "__main__":
    main()
