import getpass
import json
import sys
from pathlib import Path

from tinyweb import App
from wordcount import count

application = App()


@application.route("/")
def index():
    text = Path(__file__).with_name("poem.txt").read_text(encoding="utf-8")
    word, times = count(text).most_common(1)[0]
    return f"{word}: {times}\n"


@application.route("/about")
def about():
    return json.dumps({"user": getpass.getuser(), "prefix": sys.prefix, "version": Path("VERSION").read_text().strip()})
