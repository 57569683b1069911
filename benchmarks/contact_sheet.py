"""Draw `docs/contact_sheet.png`: people of the four synthetic sites in both modalities.

    python benchmarks/contact_sheet.py [FILE]

Each block is a site, the upper row visible and the lower infrared; two neighbouring
columns are two pictures of one person. The number is the camera's.
"""

import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ckda_jax.data.synthetic import population, render, sites
from ckda_jax.data.synthetic.camera import shoot
from ckda_jax.data.synthetic.streams import stream

TITLES = {
    "regdb": "RegDB: street by day, thermal (hot is white)",
    "sysu": "SYSU-MM01: rooms and yard, near infrared with its own lamp",
    "llcm": "LLCM: dim lobby seen from above, washed-out near infrared",
    "vcm": "HITSZ-VCM: hazy campus, people walking by, thermal (hot is black)",
}
PEOPLE, PICTURES, SEED = 6, 2, 0
SIZE, GAP, CAPTION, TITLE = (128, 64), 3, 13, 22
BLOCK = TITLE + 2 * (SIZE[0] + CAPTION)


def main() -> None:
    """Draw the sheet and save it."""
    file = sys.argv[1] if len(sys.argv) > 1 else "docs/contact_sheet.png"
    width = PEOPLE * PICTURES * (SIZE[1] + GAP) + PEOPLE * 2 * GAP
    sheet = Image.new("RGB", (width, BLOCK * len(TITLES)), "white")
    for number, site in enumerate(TITLES):
        draw_site(sheet, site, number * BLOCK)
    sheet.save(file, optimize=True)


def draw_site(sheet: Image.Image, site: str, top: int) -> None:
    """Draw one site's block at a height of the sheet."""
    pen = ImageDraw.Draw(sheet)
    pen.text((4, top + 4), TITLES[site], "black", ImageFont.load_default(13))
    cameras = sites.cameras(site, SEED)
    people = population(SEED, range(PEOPLE), domain=site)
    rng = np.random.default_rng(SEED)
    for row, infrared in enumerate((False, True)):
        numbers = [number for ir, number in cameras if ir == infrared]
        y = top + TITLE + row * (SIZE[0] + CAPTION)
        for column in range(PEOPLE * PICTURES):
            person, picture = divmod(column, PICTURES)
            number = int(rng.choice(numbers))
            camera = cameras[infrared, number]
            shot = shoot(camera, stream(SEED, site, row, person, picture))
            pixels = render(people[person], shot, camera, seed=SEED, size=SIZE)
            x = column * (SIZE[1] + GAP) + person * 2 * GAP
            sheet.paste(Image.fromarray(pixels), (x, y))
            label = f"camera {number}"
            pen.text((x + 2, y + SIZE[0]), label, "gray", ImageFont.load_default(9))


if __name__ == "__main__":
    main()
