"""Geometry as one integer gather: every output pixel is a source pixel, or black where it falls outside."""

from torch import Tensor

from espalier.data.sampling import packed, unpacked


def gather(images: Tensor, index: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """Pixel (y, x) of output k is pixel (rows[k, y, x], cols[k, y, x]) of image index[k], 0 if that lies outside.

    Rows that depend on y alone and columns that depend on x alone, as of shifts and flips, take a faster way on
    a CPU: whole rows are copied first, then pixels are gathered inside each.

    Args:
        images: uint8 (N, H, W, C), contiguous
        index: int64 (n,)
        rows: int64 (n, H, 1) or (n, H, W)
        cols: int64 (n, 1, W) or (n, H, W)

    Returns:
        uint8 (n, H, W, C), contiguous
    """
    height, width, channels = images.shape[1:]
    inside_rows, inside_cols = (rows >= 0) & (rows < height), (cols >= 0) & (cols < width)
    lines, cols = rows.clamp(0, height - 1) + height * index.view(-1, 1, 1), cols.clamp(0, width - 1)
    if images.is_cuda or rows.shape[2] != 1 or cols.shape[1] != 1:
        picked = images.flatten(0, 1)[lines, cols]
        return picked.mul_((inside_rows & inside_cols).unsqueeze(-1))

    picked = images.view(-1, width * channels).index_select(0, lines.view(-1))
    # numpy writes whole rows of an array at once, torch their elements.
    picked.numpy()[(~inside_rows).view(-1).numpy()] = 0
    words = packed(picked.view(len(index), -1, width, channels)).gather(2, cols.expand(-1, rows.shape[1], -1))
    return unpacked(words.mul_(inside_cols.to(words.dtype)))
