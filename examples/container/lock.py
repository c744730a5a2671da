"""Write what pip would install as a list with hashes: python lock.py report.json > lock.txt.

    pip install --dry-run --ignore-installed --report report.json -c examples/constraints.txt '.[dicom]'

pip's report names each file with its SHA-256; the project itself, a folder, has none and is left out.
"""

import json
import sys
from pathlib import Path

for item in json.loads(Path(sys.argv[1]).read_text())["install"]:
    hashes = item["download_info"].get("archive_info", {}).get("hashes", {})
    if "sha256" in hashes:
        print(f"{item['metadata']['name']}=={item['metadata']['version']} --hash=sha256:{hashes['sha256']}")
