"""What pyproject.toml cannot say: the app stands at the root of the repository, where `streamlit run app.py` and
Streamlit's cloud look for it, and inside the package once installed, as calculator/web/."""

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

APP = {"calculator.web": ".", "calculator.web.pages": "pages", "calculator.web.pages.shared": "pages/shared"}


class Build(build_py):
    """The modules without this file, which stands beside the app."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """(package, module, file) of all but this one."""
        found = super().find_package_modules(package, package_dir)
        return [row for row in found if row[:2] != ("calculator.web", "setup")]


setup(
    cmdclass={"build_py": Build},
    packages=[*find_packages(include=["calculator", "calculator.*", "transformer_calculator"]), *APP],
    package_dir=APP,
    package_data={
        "calculator": ["py.typed", "data/*.json", "data/*.csv"],
        "transformer_calculator": ["py.typed"],
        "calculator.web": [".streamlit/config.toml", "docs/*.md", "static/*"],
    },
)
