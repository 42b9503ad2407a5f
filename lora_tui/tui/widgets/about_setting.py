"""What a setting is for, beside the form: its problem first, its meaning, range and default."""

from textual.content import Content
from textual.widgets import Static

from lora_tui.core.settings import in_words
from lora_tui.core.text import one_line
from lora_tui.tui.columns import dash
from lora_tui.tui.widgets.setting_field import SettingField


class AboutSetting(Static):
    """Sentences about the setting that one is on."""

    def show(self, field: SettingField, saved: str) -> None:
        """Describe `field`; `saved` is what stands in the file."""
        item = field.item
        facts = [item.limits.help]
        if field.problem:
            facts.insert(0, f"{field.problem}.")
        if item.range:
            words = item.range if item.limits.choices else item.range.capitalize()
            facts.append(f"{words}.")
        if field.changed:
            facts.append(f"Saved: {saved or 'empty'}.")
        facts.append(f"Default: {in_words(item.default) or 'empty'}.")
        name = (item.name, "bold $text-error" if field.problem else "bold")
        text = one_line(" ".join(facts))
        self.update(Content.assemble(name, (f"{dash()}{text}", "$foreground-muted")))
