"""What pyproject.toml cannot say: the app stands at the root of the repository, where `streamlit run app.py` and
Streamlit's cloud look for it, and inside the package once installed, as calculator/web/."""

from setuptools import find_packages, setup

APP = {"calculator.web": ".", "calculator.web.pages": "pages", "calculator.web.pages.shared": "pages/shared"}

setup(
    packages=[*find_packages(include=["calculator", "calculator.*", "transformer_calculator"]), *APP],
    package_dir=APP,
    package_data={"calculator": ["py.typed", "data/*.json"], "calculator.web": [".streamlit/config.toml"]},
)
