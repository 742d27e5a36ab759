/* Reads Espalier's coded networks (.esp, format 2): a library in C99 that needs libc alone, and a program.
 *
 *     cc -std=c99 -O2 -DESPALIER_MAIN espalier_decode.c -o espalier_decode
 *     espalier_decode model.esp out.safetensors             the state dict in fp32, as `espalier decode` writes it
 *     espalier_decode model.esp out.safetensors --levels    levels, scales and zero points instead
 *
 * docs/esp-format.md says what each byte means, in the order of this file. Numbers from a file are bounded before anything
 * is made from them. Whatever is wrong ends in `fail`, which jumps back to esp_open.
 */
#include "espalier_decode.h"

#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#if FLT_EVAL_METHOD != 0
#error "probabilities and weights are rounded by IEEE 754, each to its own type; build with SSE2, say"
#endif

#if defined(__SANITIZE_ADDRESS__)
/* What is no part of an allocation is poison, so that a step beyond one is found as it would be on the heap. */
#include <sanitizer/asan_interface.h>
#define FORBID(at, bytes) ASAN_POISON_MEMORY_REGION(at, bytes)
#define ALLOW(at, bytes) ASAN_UNPOISON_MEMORY_REGION(at, bytes)
enum { GAP = 32 };
#else
#define FORBID(at, bytes) ((void)(at), (void)(bytes))
#define ALLOW(at, bytes) ((void)(at), (void)(bytes))
enum { GAP = 0 };
#endif

#if defined(__GNUC__)
#define NO_RETURN __attribute__((noreturn, format(printf, 2, 3)))
#else
#define NO_RETURN
#endif

#define LIMIT_MOST ((uint64_t)1 << 33)                  /* counts hold in 32 bits below it */
enum { HEADER = 45, VERSION = 2, TABLE_MOST = 1 << 22, NAME_MOST = 512, DEPTH = 512 };
enum { ONE = 1 << 16, LEAST = 1 << 4, BLOCK = 1 << 16, FULL = 1 << 24, PER_BYTE = 1 << 15 };
enum { SCALE = ESP_BOOL + 1, ZERO_POINT, KINDS };           /* streams of words: one of each plain type, and these two */
enum { EDGES = 47, RECENT = 8, INTERVALS = 64, CONTEXTS = 5, CLASSES = 17, PARTS = 16, SETTINGS = 7 };
enum { ROWS, COLUMNS, LINES };

static const char *const KIND[KINDS] = {"float32", "float16", "bfloat16", "float64", "int8", "uint8", "int16", "int32",
                                        "int64", "bool", "scale", "zero_point"};
static const uint8_t KIND_BYTES[KINDS] = {4, 2, 2, 8, 1, 1, 2, 4, 8, 1, 4, 4};

typedef struct {
    esp_tensor tensor;                                  /* its values less zero points, int32, and what is beside them: */
    esp_tensor scale, zero_point;
    uint64_t bytes;                                     /* of its stream */
    int64_t lowest, highest, low, high, settings[SETTINGS];
    int codec, zero_points;
} levels_row;

typedef struct {
    int kind, range;
    uint64_t bytes;
} words_row;

typedef struct {
    uint64_t length, count;                             /* of vectors so far; the last eight are kept */
    uint8_t *vectors[RECENT];
} flag_history;

typedef struct {
    char kind;                                          /* [ { " i t f n, or . for a number that is not whole */
    const char *at;
    size_t items, length;                               /* of a list or an object, which has keys among them; of a string */
    int64_t number;
} token;

typedef struct {
    jmp_buf back;
    esp_file *file;
    unsigned char *arena;
    uint64_t room, used;
    const char *at;                                     /* in the table */
    token *tokens;
    levels_row *levels;
    esp_tensor *plain;
    words_row *words;
    size_t level_count, plain_count, word_count, history_count;
    flag_history *histories;
    uint32_t crc[256];
} reader;

NO_RETURN static void fail(reader *r, const char *format, ...) {
    va_list words;
    va_start(words, format);
    vsnprintf(r->file->error, ESP_ERROR, format, words);
    va_end(words);
    longjmp(r->back, 1);
}

/* `count` zeroed things of `size` bytes. */
static void *take(reader *r, uint64_t count, uint64_t size) {
    uint64_t room = r->room - r->used;
    if (room < GAP + 16 || count > (room - GAP - 16) / size)
        fail(r, "it needs more than the %llu bytes of memory given", (unsigned long long)r->room);
    unsigned char *found = r->arena + r->used;
    r->used += (count * size + 15) / 16 * 16 + GAP;
    ALLOW(found, (size_t)(count * size));
    return memset(found, 0, (size_t)(count * size));
}

static void give_back(reader *r, uint64_t mark) {
    FORBID(r->arena + mark, (size_t)(r->used - mark));
    r->used = mark;
}

static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* ---- checksums ---- */

static uint64_t little(const unsigned char *at, unsigned bytes) {
    uint64_t found = 0;
    while (bytes--) found = found << 8 | at[bytes];
    return found;
}

static void crc_table(uint32_t *table) {
    for (uint32_t k = 0; k < 256; k++) {
        table[k] = k;
        for (int bit = 0; bit < 8; bit++) table[k] = table[k] >> 1 ^ (table[k] & 1 ? 0xEDB88320u : 0);
    }
}

/* The CRC goes in and out inverted, so that parts are added one after another. */
static uint32_t crc_number(const reader *r, uint32_t crc, uint64_t number, unsigned bytes) {
    for (; bytes--; number >>= 8) crc = r->crc[(crc ^ number) & 255] ^ crc >> 8;
    return crc;
}

static uint32_t crc_shape(const reader *r, uint32_t crc, const uint32_t *shape, unsigned rank) {
    for (unsigned k = 0; k < rank; k++) crc = crc_number(r, crc, shape[k], 8);
    return crc;
}

static uint32_t turned(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void sha_block(uint32_t *state, const unsigned char *at) {
    static const uint32_t K[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    uint32_t w[64] = {0}, s[8];
    memcpy(s, state, sizeof s);
    for (int k = 0; k < 64; k++) {
        uint32_t a = w[(k + 49) & 63], b = w[(k + 62) & 63], e = s[4], f = s[0];
        if (k < 16) w[k] = (uint32_t)at[4 * k] << 24 | (uint32_t)at[4 * k + 1] << 16 | (uint32_t)at[4 * k + 2] << 8 | at[4 * k + 3];
        else w[k] = w[k - 16] + w[k - 7] + (turned(a, 7) ^ turned(a, 18) ^ a >> 3) + (turned(b, 17) ^ turned(b, 19) ^ b >> 10);
        uint32_t one = s[7] + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + K[k] + w[k];
        uint32_t two = (turned(f, 2) ^ turned(f, 13) ^ turned(f, 22)) + ((f & s[1]) ^ (f & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += one;
        s[0] = one + two;
    }
    for (int k = 0; k < 8; k++) state[k] += s[k];
}

/* The SHA-256 of a file without the 32 bytes in which it stands. */
static void sha256(const unsigned char *file, size_t size, unsigned char *digest) {
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    unsigned char block[64];
    size_t filled = HEADER - 32, end = (size - 32 + 8) / 64 * 64 + 64;
    memcpy(block, file, filled);
    for (size_t k = filled; k < end; k++) {             /* place in what is hashed: the bytes, a 1, zeros, the length */
        uint64_t bits = (uint64_t)(size - 32) * 8;
        block[filled++] = k < size - 32 ? file[k + 32] : k == size - 32 ? 0x80 : k < end - 8 ? 0 : (unsigned char)(bits >> 8 * (end - 1 - k));
        if (filled == 64) sha_block(state, block), filled = 0;
    }
    for (int k = 0; k < 32; k++) digest[k] = (unsigned char)(state[k / 4] >> (24 - k % 4 * 8));
}

/* ---- LZMA2, without a frame ---- */

enum { LENGTH_CHOICE = 0, LENGTH_LOW = 2, LENGTH_MIDDLE = LENGTH_LOW + 16 * 8, LENGTH_HIGH = LENGTH_MIDDLE + 16 * 8,
       LENGTH_END = LENGTH_HIGH + 256 };
enum { IS_MATCH = 0, IS_REP = IS_MATCH + 12 * 16, IS_REP0 = IS_REP + 12, IS_REP1 = IS_REP0 + 12, IS_REP2 = IS_REP1 + 12,
       IS_REP0_LONG = IS_REP2 + 12, SLOT = IS_REP0_LONG + 12 * 16, SPECIAL = SLOT + 4 * 64, ALIGN = SPECIAL + 115,
       MATCH_LENGTH = ALIGN + 16, REP_LENGTH = MATCH_LENGTH + LENGTH_END, LITERAL = REP_LENGTH + LENGTH_END,
       PROBABILITIES = LITERAL + 16 * 0x300 };

typedef struct {
    reader *r;
    const unsigned char *in, *end;                      /* of a chunk */
    unsigned char *out;
    uint64_t start, position, stop;                     /* in `out`: of the dictionary, of the next byte, of the chunk */
    uint32_t range, code, reps[4];
    unsigned state, lc, lp, pb;
    uint16_t *p;
} lzma;

NO_RETURN static void bad_lzma(reader *r, const char *what, ...) { fail(r, "an LZMA stream is damaged (%s)", what); }

static void refill(lzma *z) {
    if (z->range >= 1u << 24) return;
    if (z->in == z->end) bad_lzma(z->r, "a chunk is cut short");
    z->range <<= 8;
    z->code = z->code << 8 | *z->in++;
}

static unsigned lzma_bit(lzma *z, unsigned at) {
    refill(z);
    uint32_t p = z->p[at], bound = (z->range >> 11) * p;
    unsigned bit = z->code >= bound;
    z->p[at] = (uint16_t)(bit ? p - (p >> 5) : p + ((2048 - p) >> 5));
    z->range = bit ? z->range - bound : bound;
    z->code -= bit ? bound : 0;
    return bit;
}

static unsigned lzma_tree(lzma *z, unsigned at, unsigned bits, int reversed) {
    unsigned m = 1, found = 0;
    for (unsigned k = 0; k < bits; k++) {
        unsigned bit = lzma_bit(z, at + m);
        m = m << 1 | bit;
        found |= bit << k;
    }
    return reversed ? found : m - (1u << bits);
}

static uint32_t lzma_length(lzma *z, unsigned at, unsigned place) {
    if (!lzma_bit(z, at + LENGTH_CHOICE)) return 2 + lzma_tree(z, at + LENGTH_LOW + 8 * place, 3, 0);
    if (!lzma_bit(z, at + LENGTH_CHOICE + 1)) return 10 + lzma_tree(z, at + LENGTH_MIDDLE + 8 * place, 3, 0);
    return 18 + lzma_tree(z, at + LENGTH_HIGH, 8, 0);
}

static uint32_t lzma_distance(lzma *z, uint32_t length) {
    unsigned slot = lzma_tree(z, SLOT + 64 * (unsigned)smaller(length - 2, 3), 6, 0), bits = (slot >> 1) - 1;
    if (slot < 4) return slot;
    uint32_t found = (2u | (slot & 1)) << bits, direct = 0;
    if (slot < 14) return found + lzma_tree(z, SPECIAL + found - slot, bits, 1);
    for (unsigned k = 4; k < bits; k++) {
        refill(z);
        z->range >>= 1;
        direct = direct << 1 | (z->code >= z->range);
        if (direct & 1) z->code -= z->range;
    }
    return found + (direct << 4) + lzma_tree(z, ALIGN, 4, 1);
}

static void lzma_literal(lzma *z, uint64_t from) {
    unsigned before = from ? z->out[z->position - 1] : 0, symbol = 1;
    unsigned at = LITERAL + 0x300 * ((((unsigned)from & ((1u << z->lp) - 1)) << z->lc) + (before >> (8 - z->lc)));
    if (z->state >= 7) {
        if (z->reps[0] >= from) bad_lzma(z->r, "a distance");
        unsigned match = z->out[z->position - z->reps[0] - 1], other, bit;
        do {
            other = match >> 7 & 1;
            bit = lzma_bit(z, at + ((1 + other) << 8) + symbol);
            match <<= 1;
            symbol = symbol << 1 | bit;
        } while (symbol < 0x100 && other == bit);
    }
    while (symbol < 0x100) symbol = symbol << 1 | lzma_bit(z, at + symbol);
    z->out[z->position++] = (unsigned char)symbol;
    z->state = z->state < 4 ? 0 : z->state < 10 ? z->state - 3 : z->state - 6;
}

static void lzma_chunk(lzma *z) {
    while (z->position < z->stop) {
        uint64_t from = z->position - z->start;
        unsigned place = (unsigned)from & ((1u << z->pb) - 1);
        uint32_t length = 1;
        if (!lzma_bit(z, IS_MATCH + 16 * z->state + place)) {
            lzma_literal(z, from);
            continue;
        }
        if (!lzma_bit(z, IS_REP + z->state)) {
            memmove(z->reps + 1, z->reps, 3 * sizeof *z->reps);
            length = lzma_length(z, MATCH_LENGTH, place);
            z->reps[0] = lzma_distance(z, length);
            z->state = z->state < 7 ? 7 : 10;
        } else {
            unsigned whole = 1, which = lzma_bit(z, IS_REP0 + z->state);
            if (!which) whole = lzma_bit(z, IS_REP0_LONG + 16 * z->state + place);
            else if (lzma_bit(z, IS_REP1 + z->state)) which = 2 + lzma_bit(z, IS_REP2 + z->state);
            uint32_t distance = z->reps[which];
            memmove(z->reps + 1, z->reps, which * sizeof *z->reps);
            z->reps[0] = distance;
            if (whole) length = lzma_length(z, REP_LENGTH, place);
            z->state = (z->state < 7 ? 8 : 11) + (whole ? 0 : z->state < 7);
        }
        if (z->reps[0] >= from || z->reps[0] >= 1u << 24) bad_lzma(z->r, "a distance");
        if (length > z->stop - z->position) bad_lzma(z->r, "a match is longer than its chunk");
        for (; length--; z->position++) z->out[z->position] = z->out[z->position - z->reps[0] - 1];
    }
    refill(z);
    if (z->in != z->end || z->code) bad_lzma(z->r, "a chunk has another length");
}

static uint64_t big(lzma *z, const unsigned char *end, unsigned bytes) {
    uint64_t found = 0;
    if ((size_t)(end - z->in) < bytes) bad_lzma(z->r, "it is cut short");
    while (bytes--) found = found << 8 | *z->in++;
    return found;
}

/* What is unpacked must be `most` bytes, and the stream end where its bytes do. */
static void unpack(reader *r, const unsigned char *in, uint64_t bytes, unsigned char *out, uint64_t most) {
    uint64_t mark = r->used;
    const unsigned char *end = in + bytes;
    int need_start = 1, need_properties = 1;
    lzma z = {.r = r, .in = in, .out = out, .p = take(r, PROBABILITIES, sizeof *z.p)};
    for (unsigned control; (control = (unsigned)big(&z, end, 1)) != 0;) {
        if (control > 2 && control < 0x80) bad_lzma(r, "no chunk begins so");
        if (control == 1 || control >= 0xE0) {
            z.start = z.position;
            need_start = 0;
            need_properties = 1;
        }
        uint64_t made = big(&z, end, 2) + 1 + (control >= 0x80 ? (uint64_t)(control & 31) << 16 : 0), packed = made;
        if (control >= 0x80) packed = big(&z, end, 2) + 1;
        if (control >= 0xC0) {
            unsigned properties = (unsigned)big(&z, end, 1);
            z.lc = properties % 9;
            z.lp = properties / 9 % 5;
            z.pb = properties / 45;
            if (z.pb > 4 || z.lc + z.lp > 4) bad_lzma(r, "its properties");
            need_properties = 0;
        }
        if (need_start || (control >= 0x80 && need_properties)) bad_lzma(r, "no dictionary or properties");
        if (made > most - z.position) bad_lzma(r, "it holds too much");
        if (packed > (uint64_t)(end - z.in)) bad_lzma(r, "it is cut short");
        z.end = z.in + packed;
        z.stop = z.position + made;
        if (control < 0x80) {
            memcpy(out + z.position, z.in, (size_t)made);
            z.position = z.stop;
            z.in = z.end;
            continue;
        }
        if (control >= 0xA0) {
            for (unsigned k = 0; k < PROBABILITIES; k++) z.p[k] = 1024;
            memset(z.reps, 0, sizeof z.reps);
            z.state = 0;
        }
        if (big(&z, z.end, 1)) bad_lzma(r, "a chunk begins with no 0");
        z.code = (uint32_t)big(&z, z.end, 4);
        z.range = 0xFFFFFFFFu;
        lzma_chunk(&z);
    }
    if (z.in != end || z.position != most) bad_lzma(r, "it has another length");
    give_back(r, mark);
}

/* ---- the table: JSON in ASCII, that ends in a 0 at which every rule stops ---- */

NO_RETURN static void bad_table(reader *r, const char *what, ...) {
    fail(r, "its table is wrong at byte %lu (%s)", (unsigned long)(r->at - r->file->table), what);
}

static char blank(reader *r) {
    r->at += strspn(r->at, " \t\n\r");
    return *r->at;
}

static void string(reader *r, token *t) {
    t->kind = '"';
    if (*r->at++ != '"') bad_table(r, "no string");
    for (t->at = r->at; *r->at != '"'; r->at++) {
        if (*r->at < ' ') bad_table(r, "no ASCII, or a control character");
        if (*r->at != '\\') continue;
        if (!*++r->at || !strchr("\"\\/bfnrtu", *r->at)) bad_table(r, "no such escape");
        if (*r->at == 'u' && strspn(r->at + 1, "0123456789abcdefABCDEF") < 4) bad_table(r, "no such escape");
    }
    t->length = (size_t)(r->at++ - t->at);
}

static size_t digits(reader *r) {
    size_t n = strspn(r->at, "0123456789");
    if (!n) bad_table(r, "no value");
    r->at += n;
    return n;
}

static void number(reader *r, token *t) {
    int negative = *r->at == '-';
    const char *start = r->at += negative;
    size_t n = digits(r);
    if (n > 1 && *start == '0') bad_table(r, "a number begins with 0");
    t->kind = n > 18 || *r->at == '.' || *r->at == 'e' || *r->at == 'E' ? '.' : 'i';
    for (; t->kind == 'i' && start < r->at; start++) t->number = t->number * 10 + (negative ? '0' - *start : *start - '0');
    if (*r->at == '.') r->at++, digits(r);
    if (*r->at != 'e' && *r->at != 'E') return;
    r->at++;
    r->at += *r->at == '+' || *r->at == '-';
    digits(r);
}

static void scalar(reader *r, token *t) {
    size_t word = strspn(r->at, "aeflnrstu");
    if (*r->at == '"') string(r, t);
    else if (!word) number(r, t);
    else if ((word == 4 && (!memcmp(r->at, "true", 4) || !memcmp(r->at, "null", 4))) || (word == 5 && !memcmp(r->at, "false", 5)))
        r->at += word;
    else bad_table(r, "no value");
}

/* Text to tokens: each list and object stands before what is in it. */
static void tokenize(reader *r) {
    token *open[DEPTH], *t = r->tokens = take(r, r->file->table_length / 2 + DEPTH + 2, sizeof *t);
    for (int depth = 0, key = 0;; t++) {
        if (depth) open[depth - 1]->items++;
        t->kind = blank(r);
        t->at = r->at;
        if (key) {
            string(r, t);
            if (blank(r) != ':') bad_table(r, ": is missing");
            r->at++;
            key = 0;
            continue;
        }
        if (t->kind == '[' || t->kind == '{') {
            if (depth == DEPTH) bad_table(r, "nested too deep");
            open[depth++] = t;
            r->at++;
            key = t->kind == '{' && blank(r) != '}';
            if (key || blank(r) != t->kind + 2) continue;    /* in ASCII what closes is two behind what opens */
        } else {
            scalar(r, t);
        }
        for (; depth && blank(r) == open[depth - 1]->kind + 2; r->at++) depth--;
        if (!depth) break;
        if (*r->at++ != ',') bad_table(r, ", is missing");
        key = open[depth - 1]->kind == '{';
    }
    if (blank(r) || r->at != r->file->table + r->file->table_length) bad_table(r, "more than one value");
}

/* The next token, which must be of this kind. */
static const token *next(reader *r, char kind, const char *what) {
    r->at = r->tokens->at;
    if (r->tokens->kind != kind) bad_table(r, what);
    return r->tokens++;
}

static int64_t whole(reader *r, int64_t low, int64_t high, const char *what) {
    int64_t found = next(r, 'i', what)->number;
    if (found < low || found > high) bad_table(r, what);
    return found;
}

static int one_of(reader *r, const char *const *words, int n, const char *what) {
    const token *t = next(r, '"', what);
    while (n-- && (strlen(words[n]) != t->length || memcmp(t->at, words[n], t->length) != 0)) {}
    if (n < 0) bad_table(r, what);
    return n;
}

/* A row's list, and the name that it begins with. */
static const char *row_of(reader *r, size_t items) {
    if (next(r, '[', "a row is no list")->items != items) bad_table(r, "a row has another length");
    const token *t = next(r, '"', "a name is no string");
    int sound = t->length > 0 && t->length <= NAME_MOST && t->at[t->length - 1] != '.';
    for (size_t k = 0; sound && k < t->length; k++) {
        char c = t->at[k];
        sound = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                (c == '.' && k && t->at[k - 1] != '.');
    }
    if (!sound) bad_table(r, "no tensor can be named so");
    return memcpy(take(r, t->length + 1, 1), t->at, t->length);
}

static void shape(reader *r, esp_tensor *t) {
    size_t rank = next(r, '[', "a shape is no list")->items;
    uint64_t product = 1;
    if (rank > ESP_RANK) bad_table(r, "a shape of more than 8 sizes");
    t->rank = (unsigned)rank;
    t->count = 1;
    for (size_t k = 0; k < rank; k++) {
        t->shape[k] = (uint32_t)whole(r, 0, INT32_MAX, "a size");
        if (product > ((uint64_t)1 << 56) / larger(t->shape[k], 1)) bad_table(r, "a shape beyond 2^56");
        product *= larger(t->shape[k], 1);
        t->count *= t->shape[k];
    }
}

static void read_levels(reader *r, levels_row *row) {
    esp_tensor *t = &row->tensor, *scale = &row->scale;
    t->type = row->zero_point.type = ESP_INT32;
    t->name = row_of(r, 11);
    shape(r, t);
    row->lowest = whole(r, -65536, 0, "lowest");
    row->highest = whole(r, 1, 65535, "highest");
    shape(r, scale);
    row->zero_points = r->tokens->kind == 't';
    next(r, row->zero_points ? 't' : 'f', "zero_points is neither true nor false");
    row->codec = (int)whole(r, 0, 1, "no such codec");
    row->low = whole(r, 1 - (1 << 17), (1 << 17) - 1, "low");
    row->high = whole(r, row->low, (1 << 17) - 1, "high");
    if (next(r, '[', "settings are no list")->items != (row->codec ? SETTINGS : 0)) bad_table(r, "settings of another codec");
    for (int k = 0; row->codec && k < SETTINGS; k++) row->settings[k] = whole(r, INT64_MIN, INT64_MAX, "a setting");
    row->bytes = (uint64_t)whole(r, 0, INT32_MAX, "bytes");
    int fits = !scale->rank || scale->rank == t->rank;
    for (unsigned k = 0; fits && k < scale->rank; k++) fits = scale->shape[k] == 1 || scale->shape[k] == t->shape[k];
    if (!fits) fail(r, "the scales of %.80s do not fit its shape", t->name);
    row->zero_point.rank = scale->rank;
    row->zero_point.count = scale->count;
    memcpy(row->zero_point.shape, scale->shape, sizeof scale->shape);
}

/* Heap sort: as quick for names made to harm as for any others, and without memory. */
static void check_names(reader *r) {
    size_t n = r->level_count + r->plain_count;
    const char **a = take(r, n, sizeof *a);
    for (size_t k = 0; k < n; k++) a[k] = k < r->level_count ? r->levels[k].tensor.name : r->plain[k - r->level_count].name;
    for (size_t end = n, start = n / 2; end > 1;) {
        const char *one = start ? a[start - 1] : a[end - 1];
        if (start) start--;
        else a[--end] = a[0];
        size_t root = start;
        for (size_t child; (child = 2 * root + 1) < end; root = child) {
            if (child + 1 < end && strcmp(a[child], a[child + 1]) < 0) child++;
            if (strcmp(one, a[child]) >= 0) break;
            a[root] = a[child];
        }
        a[root] = one;
    }
    for (size_t k = 1; k < n; k++)
        if (strcmp(a[k - 1], a[k]) == 0) fail(r, "its table is wrong: two tensors are named %.80s", a[k]);
}

static size_t part(reader *r, const char *name) {
    one_of(r, &name, 1, "another key");
    return next(r, '[', "no list")->items;
}

/* The keys stand in their alphabetical order. The order of the tensors: 0 for one of levels, 1 for a plain one. */
static uint8_t *read_table(reader *r) {
    static const char *const RECORD = "record", *const CODECS[2] = {"xz", "range"};
    size_t n, plain = 0;
    tokenize(r);
    if (next(r, '{', "it is no object")->items != 10) bad_table(r, "it has not five keys");
    r->levels = take(r, r->level_count = part(r, "levels"), sizeof *r->levels);
    for (size_t k = 0; k < r->level_count; k++) read_levels(r, r->levels + k);
    uint8_t *order = take(r, n = part(r, "order"), 1);
    for (size_t k = 0; k < n; k++) plain += order[k] = (uint8_t)whole(r, 0, 1, "order");
    r->plain = take(r, r->plain_count = part(r, "plain"), sizeof *r->plain);
    for (size_t k = 0; k < r->plain_count; k++) {
        r->plain[k].name = row_of(r, 3);
        shape(r, r->plain + k);
        r->plain[k].type = (esp_type)one_of(r, KIND, SCALE, "no such type");
    }
    one_of(r, &RECORD, 1, "another key");
    r->file->record = next(r, '{', "the record is no object")->at;
    for (size_t left = r->tokens[-1].items; left; left--, r->tokens++) left += r->tokens->items;
    r->file->record_length = (size_t)(r->tokens->at - 1 - r->file->record);
    while (r->file->record[r->file->record_length - 1] != '}') r->file->record_length--;
    r->words = take(r, r->word_count = part(r, "words"), sizeof *r->words);
    for (size_t k = 0; k < r->word_count; k++) {
        if (next(r, '[', "a row is no list")->items != 3) bad_table(r, "a row has another length");
        r->words[k].kind = one_of(r, KIND, KINDS, "no such type");
        r->words[k].range = one_of(r, CODECS, 2, "no such codec");
        r->words[k].bytes = (uint64_t)whole(r, 0, INT32_MAX, "bytes");
    }
    if (plain != r->plain_count || n - plain != r->level_count) fail(r, "its table is wrong: the order is not that of its tensors");
    check_names(r);
    return order;
}

/* Before anything is made: a sparse tensor of any size fits a few bytes, so the shapes are what counts. */
static void check_size(reader *r, uint64_t limit) {
    uint64_t size = 0, most = (uint64_t)1 << 58;
    unsigned asked = 0, given = 0;
    for (size_t k = 0; k < r->level_count; k++) {
        const levels_row *row = r->levels + k;
        size = smaller(size + 4 * smaller(row->tensor.count, most) + (row->zero_points ? 8 : 4) * row->scale.count, most);
        asked |= 1u << SCALE | (unsigned)row->zero_points << ZERO_POINT;
    }
    for (size_t k = 0; k < r->plain_count; k++) {
        size = smaller(size + KIND_BYTES[r->plain[k].type] * r->plain[k].count, most);
        asked |= 1u << r->plain[k].type;
    }
    for (size_t k = 0; k < r->word_count; k++) {
        if (given >> r->words[k].kind & 1) fail(r, "its table is wrong: two streams of words are of one kind");
        given |= 1u << r->words[k].kind;
    }
    if (asked != given) fail(r, "its streams of words are not those of its tensors");
    if (size > limit) fail(r, "its tensors would take %llu bytes, and the limit here is %llu", (unsigned long long)size, (unsigned long long)limit);
}

/* ---- the range coder ---- */

typedef struct {
    reader *r;
    const unsigned char *at, *end;
    uint64_t lower, range, point, scale;
} coder;

/* Behind the end all words are 0. */
static uint32_t next_word(coder *c) {
    if (c->at == c->end) return 0;
    c->at += 4;
    return (uint32_t)little(c->at - 4, 4);
}

static coder begin(reader *r, const unsigned char *stream, uint64_t bytes) {
    coder c = {r, stream, stream + bytes, 0, UINT64_MAX, 0, 0};
    if (bytes % 4) fail(r, "a range coded stream is cut short");
    c.point = (uint64_t)next_word(&c) << 32;
    c.point |= next_word(&c);
    return c;
}

/* Where in the current interval the number lies, in units of 2^-24. */
static uint32_t quantile(coder *c) {
    c->scale = c->range >> 24;
    uint64_t found = (c->point - c->lower) / c->scale;
    if (found >= FULL) fail(c->r, "a range coded stream is damaged");
    return (uint32_t)found;
}

static void narrow(coder *c, uint32_t left, uint32_t width) {
    c->lower += c->scale * left;
    c->range = c->scale * width;
    if (c->range >> 32) return;
    c->lower <<= 32;
    c->range <<= 32;
    c->point = c->point << 32 | next_word(c);
}

static unsigned code_bit(coder *c, uint32_t p) {
    uint32_t q = quantile(c), zero = (uint32_t)((uint64_t)(ONE - p) * (FULL - 2) >> 16) + 1;
    if (q < zero) narrow(c, 0, zero);
    else narrow(c, zero, FULL - zero);
    return q >= zero;
}

static uint32_t code_uniform(coder *c, uint32_t size) {
    uint32_t q = quantile(c), each = FULL / size, found = (uint32_t)smaller(q / each, size - 1);
    narrow(c, found * each, found < size - 1 ? each : FULL - found * each);
    return found;
}

/* Cumulated probabilities, n + 1 of them, of the symbols of one context. */
static void cumulate(const uint64_t *counts, const uint64_t *sums, const uint64_t *prior, unsigned n, unsigned pooled,
                     uint32_t *found) {
    uint64_t total = 0, left[257] = {0};
    for (unsigned k = 0; k < n; k++) total += (sums[k] << 20) + prior[k];
    total = larger(total >> 10, 1);
    for (unsigned k = 0; k < n; k++)
        left[k + 1] = left[k] + (counts[k] << 10) + (((sums[k] << 20) + prior[k]) >> 10) * (pooled << 10) / total + 1;
    double scale = (double)(FULL - n) / (double)left[n];
    for (unsigned k = 0; k < n; k++) found[k] = (uint32_t)((double)left[k] * scale) + k;
    found[n] = FULL;
}

static unsigned code_choice(coder *c, const uint32_t *cumulated, unsigned n) {
    uint32_t q = quantile(c);
    unsigned low = 0, high = n;                         /* cumulated[low] <= q < cumulated[high] */
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        if (cumulated[middle] <= q) low = middle;
        else high = middle;
    }
    narrow(c, cumulated[low], cumulated[high] - cumulated[low]);
    return low;
}

/* ---- adaptive models, which learn behind each block ---- */

static uint64_t block_size(uint64_t start, uint64_t total, uint64_t first) {
    return smaller(smaller(larger(first, smaller(start / 8, total / 64)), BLOCK), total - start);
}

static uint32_t within(uint64_t p) { return (uint32_t)larger(smaller(p, ONE - LEAST), LEAST); }
static uint32_t rate(uint64_t ones, uint64_t all) { return within((ones * 2 + 1) * ONE / (all * 2 + 2)); }

/* Cells of a block: their rows and columns, and what became of each. */
typedef struct {
    uint32_t *at[LINES];
    uint8_t *found, *place;
} cells;

typedef struct {
    unsigned strength;
    uint64_t ones, all, hits[EDGES + 1], tries[EDGES + 1];
    uint32_t *line_ones[LINES], *line_all[LINES];
} bit_model;

static void start_bits(reader *r, bit_model *m, int64_t strength, const uint64_t *sizes) {
    static const unsigned STRENGTHS[3] = {0, 8, 32};
    memset(m, 0, sizeof *m);
    m->strength = STRENGTHS[strength];
    for (int line = 0; m->strength && line < LINES; line++) {
        m->line_ones[line] = take(r, sizes[line], sizeof(uint32_t));
        m->line_all[line] = take(r, sizes[line], sizeof(uint32_t));
    }
}

static unsigned edges_below(uint32_t p) {
    static const uint16_t AT[EDGES] = {
        21,    31,    42,    63,    85,    127,   170,   255,   339,   508,   675,   1008,  1337,  1985,  2621,  3855,
        5041,  7281,  9362,  13107, 16384, 21845, 26214, 32768, 39321, 43690, 49152, 52428, 56173, 58254, 60494, 61680,
        62914, 63550, 64198, 64527, 64860, 65027, 65196, 65280, 65365, 65408, 65450, 65472, 65493, 65504, 65514};
    unsigned low = 0, high = EDGES;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (AT[middle] < p) low = middle + 1;
        else high = middle;
    }
    return low;
}

static void code_bits(bit_model *m, coder *c, const cells *b, size_t n) {
    uint64_t whole = rate(m->ones, m->all), p = whole;
    for (size_t k = 0; k < n; k++) {
        if (m->strength) {
            uint64_t over = ONE - whole, under = whole;
            for (int line = 0; line < LINES; line++) {
                uint32_t at = b->at[line][k], all = m->line_all[line][at];
                uint64_t own = within(((uint64_t)m->line_ones[line][at] * ONE + m->strength * whole) / ((uint64_t)all + m->strength));
                over *= own;
                under *= ONE - own;
            }
            p = within(over / larger((over + under) >> 16, 1));
            unsigned place = b->place[k] = (uint8_t)edges_below((uint32_t)p);
            p = within((m->hits[place] * ONE + 30 * p) / (m->tries[place] + 30));
        }
        b->found[k] = (uint8_t)code_bit(c, (uint32_t)p);
    }
    for (size_t k = 0; k < n; k++) {
        m->ones += b->found[k];
        if (!m->strength) continue;
        m->tries[b->place[k]]++;
        m->hits[b->place[k]] += b->found[k];
        for (int line = 0; line < LINES; line++) {
            m->line_all[line][b->at[line][k]]++;
            m->line_ones[line][b->at[line][k]] += b->found[k];
        }
    }
    m->all += n;
}

typedef struct {
    unsigned n, contexts;
    uint32_t starts[INTERVALS], widths[INTERVALS];
    uint64_t prior[INTERVALS], sums[INTERVALS], counts[CONTEXTS][INTERVALS], sum, all, *line_sum[LINES];
    uint32_t *line_all[LINES];
} magnitude_model;

static void start_magnitudes(reader *r, magnitude_model *m, const int64_t *settings, const uint64_t *sizes) {
    uint32_t start = (uint32_t)settings[0], greatest = (uint32_t)settings[1], span = greatest - start;
    memset(m, 0, sizeof *m);
    m->contexts = settings[4] ? CONTEXTS : 1;
    while (m->n < INTERVALS && start <= greatest) {     /* at most 59 */
        uint32_t after = (uint32_t)smaller(start + larger(1, smaller(start / 4, span / 16)), greatest);
        after = start == greatest ? greatest + 1 : after;
        m->starts[m->n] = start;
        m->widths[m->n] = after - start;
        m->prior[m->n++] = ((uint64_t)(after - start) << 20) * 20 / (span + 1) + 1;
        start = after;
    }
    for (int line = 0; m->contexts > 1 && line < LINES; line++) {
        m->line_sum[line] = take(r, sizes[line], sizeof(uint64_t));
        m->line_all[line] = take(r, sizes[line], sizeof(uint32_t));
    }
}

static unsigned magnitude_context(const magnitude_model *m, const cells *b, size_t k) {
    if (m->contexts == 1) return 0;
    int64_t mean = (int64_t)((m->sum << 8) / larger(m->all, 1)), deviation = 0, span = (int64_t)m->n << 7;
    for (int line = 0; line < LINES; line++) {
        uint32_t at = b->at[line][k];
        uint64_t sum = (m->line_sum[line][at] << 8) + 8 * (uint64_t)mean;
        deviation += (int64_t)(sum / ((uint64_t)m->line_all[line][at] + 8)) - mean;
    }
    deviation *= CONTEXTS;                              /* then divided, rounding down and not to 0 as C does */
    int64_t context = (deviation >= 0 ? deviation / span : -((span - 1 - deviation) / span)) + CONTEXTS / 2;
    return context < 0 ? 0 : (unsigned)smaller((uint64_t)context, CONTEXTS - 1);
}

/* The intervals of all cells first, then where in them the magnitudes lie. */
static void code_magnitudes(magnitude_model *m, coder *c, const cells *b, size_t n, uint32_t *out) {
    uint32_t cumulated[CONTEXTS][INTERVALS + 1];
    unsigned ready = 0;
    for (size_t k = 0; k < n; k++) {
        unsigned context = b->place[k] = (uint8_t)magnitude_context(m, b, k);
        if (!(ready >> context & 1)) cumulate(m->counts[context], m->sums, m->prior, m->n, 80, cumulated[context]);
        ready |= 1u << context;
        b->found[k] = (uint8_t)(m->n > 1 ? code_choice(c, cumulated[context], m->n) : 0);
    }
    for (size_t k = 0; k < n; k++) {
        unsigned symbol = b->found[k];
        out[k] = m->starts[symbol] + (m->widths[symbol] > 1 ? code_uniform(c, m->widths[symbol]) : 0);
        m->counts[b->place[k]][symbol]++;
        m->sums[symbol]++;
        m->sum += symbol;
        for (int line = 0; m->contexts > 1 && line < LINES; line++) {
            m->line_sum[line][b->at[line][k]] += symbol;
            m->line_all[line][b->at[line][k]]++;
        }
    }
    m->all += n;
}

/* ---- levels ---- */

/* A weight's shape as rows, channels and taps; a vector is one row. */
static void matrix(const esp_tensor *t, uint64_t *m) {
    m[0] = t->rank < 2 ? 1 : t->shape[0];
    m[1] = t->rank < 2 ? t->count : t->shape[1];
    m[2] = 1;
    for (unsigned k = 2; k < t->rank; k++) m[2] *= t->shape[k];
}

/* Few lengths can differ, since tensors of them are there in full. */
static flag_history *history(reader *r, uint64_t length) {
    size_t k = 0;
    while (k < r->history_count && r->histories[k].length != length) k++;
    if (k == r->history_count) r->histories[r->history_count++].length = length;
    return r->histories + k;
}

/* Flags, each with the rate of those that stand beside an equal one of vector `number`, or beside 0. */
static void code_flags(reader *r, coder *c, uint64_t length, int64_t number, uint8_t *found) {
    const flag_history *h = history(r, length);
    uint64_t ones[2] = {0, 0}, all[2] = {0, 0};
    if (number < 0 || (uint64_t)number > smaller(h->count, RECENT)) fail(r, "a tensor refers to flags that are not there");
    const uint8_t *beside = number ? h->vectors[(h->count - (uint64_t)number) % RECENT] : 0;
    for (uint64_t start = 0, stop; start < length; start = stop) {
        stop = start + block_size(start, length, 16);
        for (int other = 0; other < 2; other++) {
            uint32_t p = rate(ones[other], all[other]);
            for (uint64_t k = start; k < stop; k++) {
                if ((beside ? beside[k] : 0) != other) continue;
                found[k] = (uint8_t)code_bit(c, p);
                ones[other] += found[k];
                all[other]++;
            }
        }
    }
}

static void remember(reader *r, const int32_t *levels, const uint64_t *m) {
    uint8_t *vectors[LINES] = {0, 0};
    for (int line = 0; line < (m[1] == 1 ? 1 : 2); line++) {
        flag_history *h = history(r, m[line]);
        uint8_t **kept = &h->vectors[h->count++ % RECENT];
        if (!*kept) *kept = take(r, m[line], 1);
        vectors[line] = memset(*kept, 0, (size_t)m[line]);
    }
    for (uint64_t i = 0; i < m[0]; i++)
        for (uint64_t j = 0; j < m[1]; j++) {
            int live = 0;
            for (uint64_t k = 0; k < m[2]; k++) live |= *levels++ != 0;
            vectors[ROWS][i] |= (uint8_t)live;
            if (vectors[COLUMNS]) vectors[COLUMNS][j] |= (uint8_t)live;
        }
}

static void decode_dense(reader *r, const levels_row *row, const unsigned char *stream, int32_t *out) {
    uint64_t count = row->tensor.count, bits = 0;
    unsigned width = 0, ready = 0;
    while ((row->high - row->low) >> width) width++;
    if (row->bytes != (count * width + 7) / 8) fail(r, "the stream of %.80s is not as long as its levels", row->tensor.name);
    for (uint64_t k = 0; k < count; k++) {
        for (; ready < width; ready += 8) bits |= (uint64_t)*stream++ << ready;
        out[k] = (int32_t)(row->low + (int64_t)(bits & (((uint64_t)1 << width) - 1)));
        bits >>= width;
        ready -= width;
    }
}

static uint64_t common_divisor(uint64_t a, uint64_t b) {
    for (uint64_t rest; b; b = rest) {
        rest = a % b;
        a = b;
    }
    return a;
}

/* The places of the flags that are set, and how many. */
static uint64_t chosen(const uint8_t *flags, uint64_t n, uint32_t *places) {
    uint64_t found = 0;
    for (uint64_t k = 0; k < n; k++)
        if (flags[k]) places[found++] = (uint32_t)k;
    return found;
}

static void decode_range(reader *r, const levels_row *row, const uint64_t *m, const unsigned char *stream, int32_t *out) {
    const int64_t *s = row->settings;
    uint64_t most = (row->bytes + 8) * PER_BYTE, sizes[LINES], at = 0;
    bit_model zeros, signs;
    magnitude_model magnitudes;
    if (!row->tensor.count) fail(r, "an empty tensor is range coded");
    if (s[0] <= 0 || s[1] < s[0] || s[1] >= 1 << 17) fail(r, "magnitudes from %ld to %ld", (long)s[0], (long)s[1]);
    if (s[2] < 0 || s[2] > 2 || s[3] < 0 || s[3] > 2 || s[4] < 0 || s[4] > 1) fail(r, "there are no such models");
    if (m[ROWS] + m[COLUMNS] > most) fail(r, "a stream is too short for its shape");
    coder c = begin(r, stream, row->bytes);
    uint8_t *live = take(r, larger(m[ROWS], m[COLUMNS]), 1);
    uint32_t *places[LINES] = {take(r, m[ROWS], sizeof(uint32_t)), take(r, m[COLUMNS], sizeof(uint32_t))};
    code_flags(r, &c, m[ROWS], s[5], live);
    sizes[ROWS] = chosen(live, m[ROWS], places[ROWS]);
    live[0] = sizes[ROWS] > 0;                          /* a single channel is live where any row is */
    if (m[COLUMNS] > 1) code_flags(r, &c, m[COLUMNS], s[6], live);
    sizes[COLUMNS] = chosen(live, m[COLUMNS], places[COLUMNS]) * m[2];
    uint64_t total = sizes[ROWS] * sizes[COLUMNS], stride = larger(total * 610 / 987, 1);
    if (total > most) fail(r, "a stream is too short for its shape");
    if (!total) return;
    start_bits(r, &zeros, s[2], sizes);
    start_bits(r, &signs, s[3], sizes);
    start_magnitudes(r, &magnitudes, s, sizes);
    size_t room = (size_t)smaller(larger(16, total / 64), BLOCK);
    cells b = {{take(r, room, sizeof(uint32_t)), take(r, room, sizeof(uint32_t))}, take(r, room, 1), take(r, room, 1)};
    uint32_t *size = take(r, room, sizeof *size);
    uint8_t *negative = take(r, room, 1);
    while (common_divisor(stride, total) > 1) stride++;
    for (uint64_t start = 0, n; start < total; start += n) {
        size_t kept = 0;
        n = block_size(start, total, 16);
        for (size_t k = 0; k < n; k++, at = (at + stride) % total) {
            b.at[ROWS][k] = (uint32_t)(at / sizes[COLUMNS]);
            b.at[COLUMNS][k] = (uint32_t)(at % sizes[COLUMNS]);
        }
        code_bits(&zeros, &c, &b, (size_t)n);
        for (size_t k = 0; k < n; k++) {
            if (!b.found[k]) continue;
            b.at[ROWS][kept] = b.at[ROWS][k];
            b.at[COLUMNS][kept++] = b.at[COLUMNS][k];
        }
        code_bits(&signs, &c, &b, kept);
        memcpy(negative, b.found, kept);
        code_magnitudes(&magnitudes, &c, &b, kept, size);
        for (size_t k = 0; k < kept; k++) {
            uint64_t i = places[ROWS][b.at[ROWS][k]], j = places[COLUMNS][b.at[COLUMNS][k] / m[2]];
            out[(i * m[COLUMNS] + j) * m[2] + b.at[COLUMNS][k] % m[2]] = negative[k] ? -(int32_t)size[k] : (int32_t)size[k];
        }
    }
}

static void decode_levels(reader *r, levels_row *row, const unsigned char *stream, uint64_t crc) {
    esp_tensor *t = &row->tensor;
    uint64_t m[3];
    int32_t *out = take(r, t->count, sizeof *out);
    matrix(t, m);
    t->values = out;
    uint64_t mark = r->used;
    if (row->codec) decode_range(r, row, m, stream, out);
    else decode_dense(r, row, stream, out);
    give_back(r, mark);
    uint32_t found = crc_shape(r, 0xFFFFFFFFu, t->shape, t->rank);
    for (uint64_t k = 0; k < t->count; k++) {
        if (out[k] < row->low || out[k] > row->high) fail(r, "%.80s has levels beyond its low and high", t->name);
        found = crc_number(r, found, (uint32_t)out[k], 4);
    }
    if (crc != (found ^ 0xFFFFFFFFu)) fail(r, "%.80s does not decode to what was coded", t->name);
    if (t->count) remember(r, out, m);
}

/* ---- words ---- */

typedef struct {
    esp_tensor *tensor;
    unsigned part;                                      /* which models */
} item;

/* The tensors of one kind in the order of the table. The last part of a name chooses the models; the sixteenth shares. */
static size_t items_of(reader *r, int kind, item *found) {
    const char *known[PARTS - 1];
    unsigned known_count = 0;
    size_t n = 0;
    for (size_t k = 0; k < r->level_count + r->plain_count; k++) {
        levels_row *row = k < r->level_count ? r->levels + k : 0;
        esp_tensor *t = row ? kind == SCALE ? &row->scale : &row->zero_point : &r->plain[k - r->level_count];
        if (row ? kind != SCALE && !(kind == ZERO_POINT && row->zero_points) : (int)t->type != kind) continue;
        const char *name = row ? row->tensor.name : t->name, *dot = strrchr(name, '.');
        unsigned number = 0;
        name = dot ? dot + 1 : name;
        while (number < known_count && strcmp(known[number], name) != 0) number++;
        if (number == known_count && number < PARTS - 1) known[known_count++] = name;
        found[n++] = (item){t, number};
    }
    return n;
}

typedef struct {
    unsigned contexts, pooled;
    uint64_t sums[256], prior[256], counts[][256];
} byte_model;

static byte_model *start_bytes(reader *r, unsigned contexts, unsigned worth, unsigned pooled) {
    byte_model *m = take(r, 1, sizeof *m + contexts * sizeof *m->counts);
    m->contexts = contexts;
    m->pooled = pooled;
    for (int k = 0; k < 256; k++) m->prior[k] = ((uint64_t)worth << 20) / 256 + 1;
    return m;
}

/* A byte of each of `n` words, `step` bytes apart; those of one context stand together in the stream. */
static void code_bytes(byte_model *m, coder *c, const uint8_t *contexts, uint8_t *out, size_t n, unsigned step) {
    uint32_t cumulated[257], present = 0;
    for (size_t k = 0; k < n; k++) present |= 1u << contexts[k];
    for (unsigned context = 0; context < m->contexts; context++) {
        if (!(present >> context & 1)) continue;
        cumulate(m->counts[context], m->sums, m->prior, 256, m->pooled, cumulated);
        for (size_t k = 0; k < n; k++)
            if (contexts[k] == context) out[k * step] = (uint8_t)code_choice(c, cumulated, 256);
    }
    for (size_t k = 0; k < n; k++) {
        m->counts[contexts[k]][out[k * step]]++;
        m->sums[out[k * step]]++;
    }
}

static void decode_bytes(reader *r, coder c, const item *all, size_t n, uint64_t total, unsigned size, uint8_t *out) {
    byte_model *models[PARTS][8] = {{0}};
    uint8_t *contexts = take(r, smaller(larger(64, total), BLOCK), 1);
    struct { uint64_t length; const uint8_t *words; } *known = take(r, n, sizeof *known);
    size_t known_count = 0, other;
    for (size_t k = 0; k < n; k++) {
        byte_model **own = models[all[k].part];
        uint64_t length = all[k].tensor->count;
        for (other = 0; other < known_count && known[other].length != length;) other++;
        const uint8_t *before = other < known_count ? known[other].words : 0;
        for (unsigned plane = 0; plane < size && !own[plane]; plane++)
            own[plane] = plane ? start_bytes(r, 2, 1024, 64) : start_bytes(r, CLASSES, 16, 16);
        for (uint64_t start = 0, count; start < length; start += count) {
            count = block_size(start, length, 64);
            uint8_t *first = out + start * size;
            for (uint64_t i = 0; i < count; i++) contexts[i] = before ? (uint8_t)((before[(start + i) * size] >> 4) + 1) : 0;
            code_bytes(own[0], &c, contexts, first, (size_t)count, size);
            for (uint64_t i = 0; i < count; i++) contexts[i] = first[i * size] == 0;
            for (unsigned plane = 1; plane < size; plane++) code_bytes(own[plane], &c, contexts, first + plane, (size_t)count, size);
        }
        known[other].length = length;
        known[other].words = out;
        known_count += other == known_count;
        out += length * size;
    }
}

/* A word in the machine's byte order in place of its bytes from the most significant on. */
static void to_number(uint8_t *at, unsigned size, int floats) {
    uint64_t found = 0;
    for (unsigned k = 0; k < size; k++) found = found << 8 | at[k];
    if (floats) found = found >> 1 | (found & 1) << (8 * size - 1);
    uint16_t half = (uint16_t)found;
    uint32_t single = (uint32_t)found;
    if (size > 1) memcpy(at, size == 2 ? (void *)&half : size == 4 ? (void *)&single : &found, size);
}

static void decode_words(reader *r, const words_row *row, const unsigned char *stream, uint64_t crc) {
    int kind = row->kind;
    unsigned size = KIND_BYTES[kind];
    uint64_t total = 0;
    uint32_t found = 0xFFFFFFFFu;
    item *all = take(r, r->level_count + r->plain_count, sizeof *all);
    size_t n = items_of(r, kind, all);
    for (size_t k = 0; k < n; total += all[k++].tensor->count)
        found = crc_shape(r, found, all[k].tensor->shape, all[k].tensor->rank);
    uint8_t *out = take(r, total, size);
    uint64_t mark = r->used;
    if (row->range) {
        if (total * size > (row->bytes + 8) * PER_BYTE) fail(r, "a stream is too short for its words");
        decode_bytes(r, begin(r, stream, row->bytes), all, n, total, size, out);
    } else {
        uint8_t *planes = take(r, total, size);
        unpack(r, stream, row->bytes, planes, total * size);
        for (uint64_t k = 0; k < total * size; k++) out[k % total * size + k / total] = planes[k];
    }
    give_back(r, mark);
    for (uint64_t k = 0; k < total * size; k++) {
        if (kind == ESP_BOOL && out[k] > 1) fail(r, "a truth value is neither 0 nor 1");
        found = crc_number(r, found, out[k], 1);
    }
    if (crc != (found ^ 0xFFFFFFFFu)) fail(r, "the stream of %s does not decode to what was coded", KIND[kind]);
    for (uint64_t k = 0; k < total; k++) to_number(out + k * size, size, kind <= ESP_FLOAT64 || kind == SCALE);
    for (size_t k = 0; k < n; out += all[k++].tensor->count * size) all[k].tensor->values = out;
}

/* ---- what is called from outside ---- */

/* The place of element `k`'s scale. */
static uint64_t scale_at(const levels_row *row, uint64_t k) {
    uint64_t found = 0, stride = 1;
    for (unsigned d = row->scale.rank; d-- > 0; k /= row->tensor.shape[d]) {
        if (row->scale.shape[d] > 1) found += k % row->tensor.shape[d] * stride;
        stride *= row->scale.shape[d];
    }
    return found;
}

/* Levels less zero points to levels, or to fp32, in place; when the streams of words are decoded. */
static void finish_levels(reader *r, levels_row *row, esp_form form) {
    const int32_t *zero_points = row->zero_points ? row->zero_point.values : take(r, row->scale.count, sizeof *zero_points);
    const float *scales = row->scale.values;
    int32_t *values = row->tensor.values;
    row->zero_point.values = (void *)zero_points;
    for (uint64_t k = 0; k < row->scale.count; k++)
        if (zero_points[k] < row->lowest || zero_points[k] > row->highest)
            fail(r, "%.80s has zero points beyond its levels", row->tensor.name);
    for (uint64_t k = 0; k < row->tensor.count; k++) {
        uint64_t at = scale_at(row, k);
        int32_t level = values[k] + zero_points[at];
        float number = (float)values[k] * scales[at];
        if (level < row->lowest || level > row->highest)
            fail(r, "%.80s has levels beyond %ld to %ld", row->tensor.name, (long)row->lowest, (long)row->highest);
        memcpy(values + k, form == ESP_AS_LEVELS ? (void *)&level : (void *)&number, 4);
    }
    if (form != ESP_AS_LEVELS) row->tensor.type = ESP_FLOAT32;
}

/* fp16 and bfloat16 to fp32, all exactly. */
static void widen(reader *r, esp_tensor *t) {
    uint16_t *halves = t->values;
    float *found = take(r, t->count, sizeof *found);
    for (uint64_t k = 0; k < t->count; k++) {
        uint32_t bits, exponent = halves[k] >> 10 & 31, rest = halves[k] & 1023;
        found[k] = (float)rest * (1.0f / (1 << 24));    /* fp16 without an exponent */
        memcpy(&bits, found + k, sizeof bits);
        if (exponent) bits = (exponent == 31 ? 255u : exponent + 112) << 23 | rest << 13 | (exponent == 31 && rest ? 1u << 22 : 0);
        bits |= (uint32_t)(halves[k] >> 15) << 31;
        if (t->type == ESP_BFLOAT16) bits = (uint32_t)halves[k] << 16;
        memcpy(found + k, &bits, sizeof bits);
    }
    t->values = found;
    t->type = ESP_FLOAT32;
}

static esp_tensor part_of(reader *r, const levels_row *row, esp_tensor one, const char *suffix) {
    char *name = take(r, strlen(row->tensor.name) + strlen(suffix) + 1, 1);
    strcat(strcpy(name, row->tensor.name), suffix);
    one.name = name;
    return one;
}

static void open_all(reader *r, const unsigned char *data, uint64_t size, uint64_t limit, esp_form form) {
    unsigned char digest[32];
    if (size > limit) fail(r, "it has more than %llu bytes, the limit here", (unsigned long long)limit);
    if (size < 4 || memcmp(data, "\x89" "ESP", 4) != 0) fail(r, "it is no .esp file");
    if (size < HEADER) fail(r, "it is cut short");
    if (data[4] != VERSION) fail(r, "its format is %d, and this version reads %d", data[4], VERSION);
    sha256(data, (size_t)size, digest);
    if (memcmp(digest, data + HEADER - 32, 32) != 0) fail(r, "its checksum is wrong");
    uint64_t packed = little(data + 5, 4), unpacked = little(data + 9, 4), wanted = HEADER + packed;
    if (wanted > size || unpacked > TABLE_MOST) fail(r, "its table is too long");
    const unsigned char *stream = data + wanted;
    unsigned char *text = take(r, unpacked + 1, 1);
    unpack(r, data + HEADER, packed, text, unpacked);
    r->file->table = r->at = (char *)text;
    r->file->table_length = (size_t)unpacked;
    uint8_t *order = read_table(r);
    check_size(r, limit);
    for (size_t k = 0; k < r->level_count; k++) wanted += r->levels[k].bytes + 4;
    for (size_t k = 0; k < r->word_count; k++) wanted += r->words[k].bytes + 4;
    if (wanted != size) fail(r, "its streams do not add up to its size");

    crc_table(r->crc);
    r->histories = take(r, 2 * (uint64_t)r->level_count, sizeof *r->histories);
    for (size_t k = 0; k < r->level_count; stream += r->levels[k++].bytes + 4)
        decode_levels(r, r->levels + k, stream, little(stream + r->levels[k].bytes, 4));
    for (size_t k = 0; k < r->word_count; stream += r->words[k++].bytes + 4)
        decode_words(r, r->words + k, stream, little(stream + r->words[k].bytes, 4));
    size_t total = r->level_count + r->plain_count, behind[2] = {0, 0};
    esp_tensor *found = take(r, 3 * (uint64_t)total, sizeof *found);
    for (size_t k = 0; k < r->level_count; k++) finish_levels(r, r->levels + k, form);
    r->file->tensors = found;
    for (size_t k = 0; k < total; k++) {
        const levels_row *row = order[k] ? 0 : r->levels + behind[0]++;
        esp_tensor *plain = row ? 0 : r->plain + behind[1]++;
        if (form == ESP_AS_STATE) {
            if (plain && strncmp(plain->name, "_inputs.", 8) == 0) continue;    /* of activations, and no state */
            if (plain && (plain->type == ESP_FLOAT16 || plain->type == ESP_BFLOAT16)) widen(r, plain);
            *found++ = plain ? *plain : row->tensor;
        } else if (plain) {
            *found++ = *plain;
        } else {
            *found++ = part_of(r, row, row->tensor, ":levels");
            *found++ = part_of(r, row, row->scale, ":scale");
            *found++ = part_of(r, row, row->zero_point, ":zero_point");
        }
    }
    r->file->count = (size_t)(found - r->file->tensors);
}

int esp_open(esp_file *file, const void *bytes, size_t size, void *arena, size_t arena_bytes, uint64_t limit, esp_form form) {
    size_t skipped = (16 - (uintptr_t)arena % 16) % 16;
    reader r;
    memset(file, 0, sizeof *file);
    memset(&r, 0, sizeof r);
    r.file = file;
    r.arena = (unsigned char *)arena + skipped;
    r.room = arena_bytes < skipped ? 0 : arena_bytes - skipped;
    FORBID(r.arena, (size_t)r.room);
    if (setjmp(r.back)) return -1;
    open_all(&r, bytes, size, smaller(limit, LIMIT_MOST), form);
    return 0;
}

#ifdef ESPALIER_MAIN

#include <errno.h>
#include <stdlib.h>
#include <time.h>

static void put_number(FILE *out, uint64_t number, unsigned bytes) {
    for (; bytes--; number >>= 8) putc((int)(number & 255), out);
}

static void put_values(FILE *out, const esp_tensor *t) {
    unsigned size = KIND_BYTES[t->type];
    const char *at = t->values;
    for (uint64_t k = 0; k < t->count; k++, at += size) {
        uint64_t wide = 0;
        uint32_t single = 0;
        uint16_t half = 0;
        if (size == 1) wide = (unsigned char)*at;
        else memcpy(size == 8 ? (void *)&wide : size == 4 ? (void *)&single : &half, at, size);
        put_number(out, wide | single | half, size);
    }
}

/* The header of a safetensors file, with the table as text in it. Returns its length. */
static uint64_t put_header(FILE *out, const esp_file *file) {
    static const char *const DTYPES[] = {"F32", "F16", "BF16", "F64", "I8", "U8", "I16", "I32", "I64", "BOOL"};
    uint64_t offset = 0, length = (uint64_t)fprintf(out, "{\"__metadata__\":{\"espalier\":\"");
    for (const char *c = file->table; *c; c++, length++) {
        if (*c == '"' || *c == '\\') putc('\\', out), length++;
        putc(*c < ' ' ? ' ' : *c, out);                 /* a line's end, between two values */
    }
    length += (uint64_t)fprintf(out, "\"}");
    for (const esp_tensor *t = file->tensors; t < file->tensors + file->count; t++) {
        uint64_t end = offset + t->count * KIND_BYTES[t->type];
        length += (uint64_t)fprintf(out, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", t->name, DTYPES[t->type]);
        for (unsigned d = 0; d < t->rank; d++) length += (uint64_t)fprintf(out, d ? ",%lu" : "%lu", (unsigned long)t->shape[d]);
        length += (uint64_t)fprintf(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)offset, (unsigned long long)end);
        offset = end;
    }
    for (length += (uint64_t)fprintf(out, "}"); length % 8; length++) putc(' ', out);
    return length;
}

static int write_safetensors(const char *path, const esp_file *file) {
    FILE *out = fopen(path, "wb");
    if (!out) return -1;
    put_number(out, 0, 8);
    uint64_t length = put_header(out, file);
    for (size_t k = 0; k < file->count; k++) put_values(out, file->tensors + k);
    int wrong = fseek(out, 0, SEEK_SET) != 0;
    put_number(out, length, 8);
    wrong |= ferror(out) != 0;
    wrong |= fclose(out) != 0;
    if (wrong) remove(path);
    return wrong ? -1 : 0;
}

/* Decode one file into the memory given, and write it unless `output` is null. The exit code. */
static int convert(const char *path, const char *output, esp_form form, unsigned char *memory, size_t room, uint64_t limit) {
    esp_file file = {.error = ""};
    size_t size = 0;
    clock_t start = clock();
    FILE *in = fopen(path, "rb");
    ALLOW(memory, room);
    if (in) size = fread(memory, 1, (size_t)smaller(room, smaller(limit, LIMIT_MOST) + 1), in);
    if (!in || ferror(in)) snprintf(file.error, ESP_ERROR, "it cannot be read (%s)", strerror(errno));
    else if (esp_open(&file, memory, size, memory + size, room - size, limit, form) == 0 && output &&
             write_safetensors(output, &file) != 0)
        snprintf(file.error, ESP_ERROR, "%.160s cannot be written (%s)", output, strerror(errno));
    if (in) fclose(in);
    if (file.error[0]) fprintf(stderr, "%s: %s\n", path, file.error);
    else printf("%s: %lu bytes, %lu tensors, %ld ms\n", path, (unsigned long)size, (unsigned long)file.count,
                (long)((clock() - start) * 1000 / CLOCKS_PER_SEC));
    return file.error[0] ? 2 : 0;
}

int main(int argc, char **argv) {
    const char *paths[2] = {0, 0};
    int count = 0, many = 0, worst = 0;
    esp_form form = ESP_AS_STATE;
    unsigned long long limit = ESP_LIMIT, room = (unsigned long long)1 << 31;
    for (int k = 1; k < argc; k++) {
        char *end = "";
        if (strcmp(argv[k], "--levels") == 0) form = ESP_AS_LEVELS;
        else if (strcmp(argv[k], "--list") == 0) many = 1;
        else if (strcmp(argv[k], "--limit") == 0 && k + 1 < argc) limit = strtoull(argv[++k], &end, 10);
        else if (strcmp(argv[k], "--memory") == 0 && k + 1 < argc) room = strtoull(argv[++k], &end, 10);
        else if (argv[k][0] == '-' || count >= 2) count = 3;
        else paths[count++] = argv[k];
        if (*end) count = 3;
    }
    if (count != (many ? 0 : 2)) {
        fprintf(stderr, "usage: espalier_decode MODEL.esp OUT.safetensors [--levels] [--limit BYTES] [--memory BYTES]\n"
                        "       espalier_decode --list ...    each line of the input is MODEL.esp, or it, a tab and OUT\n");
        return 2;
    }
    unsigned char *memory = room <= SIZE_MAX ? malloc((size_t)room) : 0;
    if (!memory) fprintf(stderr, "espalier_decode: there are no %llu bytes of memory; give fewer as --memory\n", room);
    if (!memory) return 2;
    char line[8192];
    if (!many) worst = convert(paths[0], paths[1], form, memory, (size_t)room, limit);
    while (many && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        char *tab = strchr(line, '\t');
        if (tab) *tab++ = 0;
        worst |= convert(line, tab, form, memory, (size_t)room, limit);
    }
    free(memory);
    return worst;
}

#endif
