// Packed rows (compute::packed) to KataGo's 22 planes and 19 numbers, each moved by its symmetry. One block a board.

DEVICE int word16(const unsigned char *row, int at) { return row[at] | row[at + 1] << 8; }
DEVICE unsigned word32(const unsigned char *row, int at) { return word16(row, at) | (unsigned)word16(row, at + 2) << 16; }
DEVICE int bit_of(const unsigned char *row, int plane_bytes, int plane, int cell) {
    return row[32 + plane * plane_bytes + cell / 8] >> (cell % 8) & 1;
}

// Where cell (x, y) of a board of w columns and h rows goes, as base::symmetry has it.
DEVICE int moved_cell(int x, int y, int w, int h, int symmetry, int len) {
    if (symmetry & 2) x = w - 1 - x;
    if (symmetry & 1) y = h - 1 - y;
    return symmetry & 4 ? x * len + y : y * len + x;
}

DEVICE void unpack_cell(float *out, const unsigned char *row, int plane_bytes, int cell) {
    int own = bit_of(row, plane_bytes, 0, cell), opp = bit_of(row, plane_bytes, 1, cell);
    int ladder = bit_of(row, plane_bytes, 5, cell);
    out[0] = 1.0f;
    out[1] = (float)own;
    out[2] = (float)opp;
    if (own | opp) {
        int liberties = bit_of(row, plane_bytes, 2, cell) + 2 * bit_of(row, plane_bytes, 3, cell);
        if (liberties) out[2 + liberties] = 1.0f;
        out[14] = (float)ladder;
    } else {
        out[6] = (float)bit_of(row, plane_bytes, 4, cell);
        out[17] = (float)ladder;
    }
    out[15] = (float)bit_of(row, plane_bytes, 6, cell);
    out[16] = (float)bit_of(row, plane_bytes, 7, cell);
    out[18] = (float)bit_of(row, plane_bytes, 8, cell);
    out[19] = (float)bit_of(row, plane_bytes, 9, cell);
}

DEVICE void unpack_globals(float *out, const unsigned char *row) {
    unsigned flags = word32(row, 4);
    float doubling = __uint_as_float(word32(row, 28));
    for (int back = 0; back < 5; back++) out[back] = word16(row, 8 + 2 * back) == 0xfffe ? 1.0f : 0.0f;
    out[5] = __uint_as_float(word32(row, 20));
    out[6] = flags & 3 ? 1.0f : 0.0f;
    out[7] = 0.5f * ((float)(flags & 1) - (float)(flags >> 1 & 1));
    for (int bit = 2; bit < 9; bit++) out[6 + bit] = (float)(flags >> bit & 1);
    out[15] = doubling != 0.0f ? 1.0f : 0.0f;
    out[16] = 0.5f * doubling;
    out[17] = (float)(flags >> 9 & 1);
    out[18] = __uint_as_float(word32(row, 24));
}

// planes [n, len * len, 22], globals [n, 19], mask [n, len * len], counts [n]; rows of row_bytes, symmetries [n].
extern "C" __global__ void unpack(float *planes, float *globals, float *mask, float *counts, const unsigned char *rows,
                                  const unsigned char *symmetries, int len, int row_bytes) {
    int board = blockIdx.x, area = len * len, plane_bytes = (area + 31) / 32 * 4;
    const unsigned char *row = rows + (size_t)board * row_bytes;
    int w = row[0], h = row[1], symmetry = symmetries[board] & 7;
    float *points = planes + (size_t)board * area * 22;
    for (int i = threadIdx.x; i < area * 22; i += blockDim.x) points[i] = 0.0f;
    for (int i = threadIdx.x; i < area; i += blockDim.x) mask[(size_t)board * area + i] = 0.0f;
    __syncthreads();
    for (int i = threadIdx.x; i < w * h; i += blockDim.x) {
        int x = i % w, y = i / w, to = moved_cell(x, y, w, h, symmetry, len);
        unpack_cell(points + to * 22, row, plane_bytes, y * len + x);
        mask[(size_t)board * area + to] = 1.0f;
    }
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int back = 0; back < 5; back++) {
        int cell = word16(row, 8 + 2 * back);
        if (cell < 0xfffe) points[moved_cell(cell % len, cell / len, w, h, symmetry, len) * 22 + 9 + back] = 1.0f;
    }
    unpack_globals(globals + (size_t)board * 19, row);
    counts[board] = (float)(w * h);
}
KERNEL(unpack)
