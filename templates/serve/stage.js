// A picture on a canvas: zoom, move, invert, and a heatmap over it.

const FURTHEST = 16;

export class Stage {
  /**
   * @param canvas what is drawn on.
   * @param hooks moved(zoom) after each change of the zoom; windowed(dx, dy) while a drag sets the window, in shares of the canvas.
   */
  constructor(canvas, hooks) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.hooks = hooks;
    this.picture = null;
    this.heat = null;
    this.strength = 1;
    this.inverted = false;
    this.setsWindow = false;
    this.hasWindow = false;
    this.pointers = new Map();
    this.fit();
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.listen();
  }

  /** Show a bitmap, or nothing; the place of the view stays. */
  show(picture, heat = null) {
    this.picture = picture;
    this.heat = heat;
    this.draw();
  }

  fit() {
    this.zoom = 1;
    this.x = 0;
    this.y = 0;
    this.draw();
  }

  /** Zoom about a point of the canvas, by default its middle. */
  zoomBy(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const zoom = Math.min(Math.max(this.zoom * factor, 1), FURTHEST);
    const [fromX, fromY] = [x - this.canvas.clientWidth / 2, y - this.canvas.clientHeight / 2];
    this.x = fromX - ((fromX - this.x) * zoom) / this.zoom;
    this.y = fromY - ((fromY - this.y) * zoom) / this.zoom;
    this.zoom = zoom;
    this.draw();
  }

  move(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.draw();
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    this.draw();
  }

  draw() {
    const { canvas, pen, picture } = this;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    canvas.dataset.zoomed = String(this.zoom > 1);
    // What surrounds the picture is transparent and stays so; a heatmap keeps its colours.
    canvas.style.filter = this.inverted && !this.heat ? "invert(1)" : "";
    this.hooks.moved(picture ? this.zoom : null);
    if (!picture) return;
    const ratio = canvas.width / Math.max(1, canvas.clientWidth);
    const scale = Math.min(canvas.width / picture.width, canvas.height / picture.height) * this.zoom;
    const [width, height] = [picture.width * scale, picture.height * scale];
    this.hold(width / ratio, height / ratio);
    const left = canvas.width / 2 + this.x * ratio - width / 2;
    const top = canvas.height / 2 + this.y * ratio - height / 2;
    pen.imageSmoothingEnabled = scale < 3; // then single pixels are looked at
    pen.imageSmoothingQuality = "high";
    pen.drawImage(picture, left, top, width, height);
    if (!this.heat) return;
    pen.globalAlpha = this.strength;
    pen.drawImage(this.heat, left, top, width, height);
    pen.globalAlpha = 1;
  }

  /** Keep some of the picture in sight. */
  hold(width, height) {
    const roomX = Math.max(0, (width - this.canvas.clientWidth) / 2);
    const roomY = Math.max(0, (height - this.canvas.clientHeight) / 2);
    this.x = Math.min(Math.max(this.x, -roomX), roomX);
    this.y = Math.min(Math.max(this.y, -roomY), roomY);
  }

  listen() {
    const { canvas } = this;
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.zoomBy(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0015)), ...at(event));
      },
      { passive: false },
    );
    canvas.addEventListener("dblclick", (event) => (this.zoom > 1 ? this.fit() : this.zoomBy(2, ...at(event))));
    canvas.addEventListener("contextmenu", (event) => this.hasWindow && event.preventDefault());
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, at(event));
    });
    canvas.addEventListener("pointermove", (event) => this.drag(event, at(event)));
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
    }
  }

  /** One pointer moves the picture or sets the window, as does the right button; two pinch. */
  drag(event, [x, y]) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    this.pointers.set(event.pointerId, [x, y]);
    const [dx, dy] = [x - before[0], y - before[1]];
    if (this.pointers.size === 2) {
      const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      const [far, was] = [Math.hypot(x - other[0], y - other[1]), Math.hypot(before[0] - other[0], before[1] - other[1])];
      if (was > 0) this.zoomBy(far / was, (x + other[0]) / 2, (y + other[1]) / 2);
      this.move(dx / 2, dy / 2);
    } else if (this.hasWindow && (this.setsWindow || event.buttons === 2)) {
      this.hooks.windowed(dx / this.canvas.clientWidth, dy / this.canvas.clientHeight);
    } else {
      this.move(dx, dy);
    }
  }
}
