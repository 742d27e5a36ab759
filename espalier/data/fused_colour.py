"""The colours of `colour` compiled for a CPU: all changes of an image while it lies in the cache, to the same bits."""

import numpy as np

from espalier.data.compiling import compiled, fma

BRIGHTEN, CONTRAST, SATURATE, TURN = range(4)
_RED, _GREEN, _BLUE = np.float32(0.2989), np.float32(0.587), np.float32(0.114)
_ZERO, _ONE, _TWO, _THREE, _FOUR, _FIVE, _SIX = map(np.float32, range(7))
_HALF = np.float32(0.5)
_WHITE, _LEVEL, _SIXTH, _LEAST, _TOP = map(np.float32, (255, 1 / 255, 1 / 6, 1e-3, 255.999))
_BEND, _BEFORE, _MIDDLE, _BEHIND = map(np.float32, (512, 768, 1280, 1792))


@compiled
def jitter(images, order, factors, codes):
    """Change images (n, H * W, C) in place.

    Args:
        order: int64 (n, k), indices into `codes`
        factors: float64 (n, k)
        codes: int64, the operation of each index
    """
    pixels, channels = images.shape[1:]
    planes, gray = np.empty((channels, pixels), np.float32), np.empty(pixels, np.float32)
    for k in range(len(images)):
        _split(images[k], planes)
        for step in range(order.shape[1]):
            code, factor = codes[order[k, step]], factors[k, step]
            if code == BRIGHTEN:
                _brighten(planes, np.float32(factor))
            elif code == CONTRAST:
                _grays(planes, gray)
                gray[:] = _mean(gray)
                _blend(planes, gray, np.float32(factor), np.float32(1 - factor))
            elif channels == 3 and code == SATURATE:
                _grays(planes, gray)
                _blend(planes, gray, np.float32(factor), np.float32(1 - factor))
            elif channels == 3:
                _turn(planes[0], planes[1], planes[2], np.float32(factor))
        _join(planes, images[k])


@compiled
def _split(image, planes):
    if len(planes) == 3:
        red, green, blue = planes[0], planes[1], planes[2]
        for pixel in range(planes.shape[1]):
            red[pixel] = image[pixel, 0]
            green[pixel] = image[pixel, 1]
            blue[pixel] = image[pixel, 2]
    else:
        for pixel in range(planes.shape[1]):
            planes[0, pixel] = image[pixel, 0]


@compiled
def _join(planes, image):
    if len(planes) == 3:
        red, green, blue = planes[0], planes[1], planes[2]
        for pixel in range(planes.shape[1]):
            image[pixel, 0] = np.uint8(np.int32(red[pixel]))
            image[pixel, 1] = np.uint8(np.int32(green[pixel]))
            image[pixel, 2] = np.uint8(np.int32(blue[pixel]))
    else:
        for pixel in range(planes.shape[1]):
            image[pixel, 0] = np.uint8(np.int32(planes[0, pixel]))


@compiled
def _brighten(planes, factor):
    for channel in range(len(planes)):
        plane = planes[channel]
        for pixel in range(len(plane)):
            plane[pixel] = np.floor(min(max(plane[pixel] * factor, _ZERO), _WHITE))


@compiled
def _grays(planes, gray):
    if len(planes) == 3:
        red, green, blue = planes[0], planes[1], planes[2]
        for pixel in range(len(gray)):
            gray[pixel] = np.floor(fma(blue[pixel], _BLUE, fma(green[pixel], _GREEN, red[pixel] * _RED)))
    else:
        gray[:] = planes[0]


@compiled
def _mean(gray):
    # Whole numbers, whose sum is the same in any order while it is below 2^24.
    total = np.int32(0)
    for pixel in range(len(gray)):
        total += np.int32(gray[pixel])
    return np.float32(total) / np.float32(len(gray))


@compiled
def _blend(planes, other, factor, rest):
    for channel in range(len(planes)):
        plane = planes[channel]
        for pixel in range(len(plane)):
            mixed = fma(other[pixel], rest, plane[pixel] * factor)
            plane[pixel] = np.floor(min(max(mixed, _ZERO), _WHITE))


@compiled
def _turn(red, green, blue, hue):
    for pixel in range(len(red)):
        r, g, b = red[pixel], green[pixel], blue[pixel]
        above, below = max(r, g), min(r, g)
        high, low, middle = max(above, b), min(below, b), max(below, min(above, b))
        # The sixth that `colour._SIXTHS` has for each order of the three, and whether hue falls in it.
        if r < g:
            offset = _FOUR if g < b else (_THREE if r < b else _TWO)
        else:
            offset = _FIVE if r < b else (_ZERO if g < b else _ONE)
        odd = _ONE if ((r < g) != (g < b)) != (r < b) else _ZERO

        value = high * _LEVEL
        span = value - low * _LEVEL
        value = max(value, _LEAST)
        saturation = span / value
        h = (middle * _LEVEL - value) / max(span, _LEAST)
        h = (h - _TWO * h * odd + offset) - odd
        h = h * _SIXTH + _ONE
        h = h - np.trunc(h) + hue
        h = (h - np.floor(h)) * _SIX
        sixth = np.floor(h)
        falling = sixth * _HALF
        falling = falling - np.trunc(falling)
        share = (h - sixth) * saturation
        share = share - _FOUR * share * falling
        rest = _ONE - (saturation - _TWO * saturation * falling)
        new = np.floor((share + rest) * value * _TOP)

        bend = sixth * _BEND
        raised, lowered = new + _BEFORE, new - _BEFORE
        red[pixel] = min(max(abs(bend - _MIDDLE) + lowered, low), high)
        green[pixel] = min(max(raised - abs(bend - _BEFORE), low), high)
        blue[pixel] = min(max(raised - abs(bend - _BEHIND), low), high)
