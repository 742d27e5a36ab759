/* Reads Espalier's coded networks (.esp, format 3): a library in C99 that needs libc alone, and a program.
 *
 *     cc -std=c99 -O2 -DESPALIER_MAIN espalier_decode.c -o espalier_decode
 *     espalier_decode model.esp out.safetensors             the state dict in fp32, as `espalier decode` writes it
 *     espalier_decode model.esp out.safetensors --levels    levels, scales and zero points instead
 *
 * docs/esp-format.md says what each byte means, in the order of this file. Numbers from a file are bounded before
 * anything is made from them. Whatever is wrong ends in FAIL, which jumps back to esp_open.
 */
#include "espalier_decode.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is no part of an allocation is poison, so that a step beyond one is found as it would be on the heap. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#endif

#define FAIL(r, ...) (snprintf((r)->file->error, ESP_ERROR, __VA_ARGS__), longjmp((r)->back, 1))
enum { HEADER = 45, SHA_AT = 13, VERSION = 3, TABLE_MOST = 1 << 22, NAME_MOST = 512, GAP = 32 };
enum { ONE = 1 << 16, LEAST = 1 << 4, BLOCK = 1 << 16, FULL = 1 << 24, PER_BYTE = 1 << 15 };
enum { RECENT = 3, INTERVALS = 64, CLASSES = 17, PARTS = 16, SETTINGS = 4, BESIDE = 4 };
enum { ROWS, CHANNELS, TAPS };                          /* a weight's shape; a line is a row or a channel */

/* What a tensor holds: words of a plain type, scales or zero points; levels; zero points that are 0 and not stored. */
enum { SCALE = ESP_BOOL + 1, ZERO_POINT, LEVELS, NONE };
static const char *const KIND[LEVELS] = {"float32", "float16", "bfloat16", "float64", "int8", "uint8", "int16", "int32",
                                         "int64", "bool", "scale", "zero_point"};
static const uint8_t KIND_BYTES[NONE + 1] = {4, 2, 2, 8, 1, 1, 2, 4, 8, 1, 4, 4, 4, 4};

/* A tensor or a stream of words. Behind one of levels come its scales and its zero points. */
typedef struct row {
    struct row *next;
    esp_tensor tensor;                                  /* levels are less zero points until all is decoded */
    unsigned kind, codec;
    uint64_t bytes;                                     /* of a stream */
    int64_t lowest, highest, low, high, settings[SETTINGS];
} row;

/* The latest vectors of one length; of tensors, where lines are live, and what each holds in the latest of them. In a
 * list of these, the first whose count is 0 ends it. */
typedef struct { uint64_t length, count; uint8_t *vectors[RECENT], *held; } history;

/* What coded levels taught, and the tables of log-odds. */
enum { MOST = 2047, MEMORY = 1023, INPUTS = 16, SETS = 287, CONTEXTS = 28761, EDGES = 33, KINDS = 9, STRENGTH = 8 };
typedef struct {
    int32_t squash[2 * MOST + 1], stretch[4096];
    int32_t contexts[CONTEXTS], weights[SETS][INPUTS], last[KINDS * EDGES];
    uint16_t seen[CONTEXTS], last_seen[KINDS * EDGES];
} mixer;

typedef struct {
    jmp_buf back;
    esp_file *file;
    esp_form form;
    unsigned char *arena;
    uint64_t room, used, limit, key, totals[NONE + 1];  /* the key of the hashes; the elements of each kind */
    const char *at, *order, **names;                    /* in the table, in its `order`; the names by their hashes */
    row *rows, **plain, *words, **end;                  /* the last rows are plain; the end of the list that is read */
    size_t count;                                       /* of names, and so of tensors as they were coded */
    const unsigned char *stream;
    history *flags;
    mixer *memory;
    uint32_t crc[256];
} reader;

/* `count` zeroed things of `size` bytes. */
static void *take(reader *r, uint64_t count, uint64_t size) {
    uint64_t room = r->room - r->used;
    if (room < GAP + 16 || count > (room - GAP - 16) / size)
        FAIL(r, "it needs more than the %" PRIu64 " bytes of memory given", r->room);
    unsigned char *found = r->arena + r->used;
    r->used += (count * size + 15) / 16 * 16 + GAP;
    ASAN_UNPOISON_MEMORY_REGION(found, (size_t)(count * size));
    return memset(found, 0, (size_t)(count * size));
}

static void give_back(reader *r, uint64_t mark) {
    ASAN_POISON_MEMORY_REGION(r->arena + mark, (size_t)(r->used - mark));
    r->used = mark;
}

static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

static uint64_t little(const unsigned char *at, unsigned bytes) {
    uint64_t found = 0;
    memcpy(&found, at, bytes);
    return found;
}

/* ---- container ---- */
static uint32_t turn(uint32_t x, int n) { return x >> n | x << (32 - n); }

/* The SHA-256 of a file without the 32 bytes in which it stands. */
static void check_sha256(reader *r, const unsigned char *file, uint64_t size) {
    static const uint32_t K[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint64_t length = size - 32, end = (length + 8) / 64 * 64 + 64;
    for (uint64_t at = 0; at < end;) {
        uint32_t w[64] = {0}, s[8];
        for (int k = 0; k < 64; k++, at++)              /* the bytes, a 1, zeros, the length in bits */
            w[k / 4] = w[k / 4] << 8 | (at < SHA_AT ? file[at] : at < length ? file[at + 32] : at == length ? 0x80 : 0);
        for (int k = 14; at == end && k < 16; k++) w[k] = (uint32_t)(length * 8 >> 32 * (15 - k));
        for (int k = 16; k < 64; k++) {
            uint32_t a = w[k - 15], b = w[k - 2];
            w[k] = w[k - 16] + w[k - 7] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
        }
        memcpy(s, h, sizeof s);
        for (int k = 0; k < 64; k++) {
            uint32_t one = s[7] + K[k] + w[k] + (turn(s[4], 6) ^ turn(s[4], 11) ^ turn(s[4], 25));
            one += (s[4] & s[5]) ^ (~s[4] & s[6]);
            uint32_t two = (turn(s[0], 2) ^ turn(s[0], 13) ^ turn(s[0], 22)) + (s[1] & s[2]) + (s[0] & (s[1] ^ s[2]));
            memmove(s + 1, s, 7 * sizeof *s);
            s[4] += one;
            s[0] = one + two;
        }
        for (int k = 0; k < 8; k++) h[k] += s[k];
    }
    for (int k = 0; k < 32; k++)
        if (file[SHA_AT + k] != (h[k / 4] >> (24 - k % 4 * 8) & 255)) FAIL(r, "its checksum is wrong");
    r->key = (uint64_t)h[0] << 32 | h[1] | 1;
}

/* ---- LZMA2, without a frame ---- */
typedef struct { uint16_t choice[2], low[16][8], middle[16][8], high[256]; } lzma_lengths;

/* What is coded with each probability. The first index is a state, and then a place within 16 bytes. */
typedef struct {
    uint16_t match[12][16], rep[12], rep0[12], rep1[12], rep2[12], rep0_long[12][16];
    uint16_t slot[4][64], special[115], align[16], literal[16][0x300];
    lzma_lengths match_length, rep_length;
} probabilities;

typedef struct {
    reader *r;
    const unsigned char *in, *end;
    unsigned char *out;
    uint64_t start, position, stop;                     /* in `out`: of the dictionary, the next byte, the chunk */
    uint32_t range, code, reps[4];
    unsigned state, properties;
    probabilities *p;
} lzma;

static void bad_lzma(reader *r) { FAIL(r, "an LZMA stream is damaged"); }

static uint64_t lzma_bytes(lzma *z, unsigned n) {
    uint64_t found = 0;
    if ((size_t)(z->end - z->in) < n) bad_lzma(z->r);
    while (n--) found = found << 8 | *z->in++;
    return found;
}

static void refill(lzma *z) {
    if (z->range >= 1u << 24) return;
    z->range <<= 8;
    z->code = z->code << 8 | (uint32_t)lzma_bytes(z, 1);
}

static unsigned lzma_bit(lzma *z, uint16_t *p) {
    refill(z);
    uint32_t bound = (z->range >> 11) * *p;
    unsigned bit = z->code >= bound;
    *p = (uint16_t)(bit ? *p - (*p >> 5) : *p + ((2048 - *p) >> 5));
    z->range = bit ? z->range - bound : bound;
    z->code -= bit ? bound : 0;
    return bit;
}

static unsigned lzma_tree(lzma *z, uint16_t *p, unsigned bits, int reversed) {
    unsigned m = 1, found = 0;
    for (unsigned k = 0; k < bits; k++) {
        unsigned bit = lzma_bit(z, p + m);
        m = m << 1 | bit;
        found |= bit << k;
    }
    return reversed ? found : m - (1u << bits);
}

static uint32_t lzma_length(lzma *z, lzma_lengths *p, unsigned place) {
    if (!lzma_bit(z, &p->choice[0])) return 2 + lzma_tree(z, p->low[place], 3, 0);
    if (!lzma_bit(z, &p->choice[1])) return 10 + lzma_tree(z, p->middle[place], 3, 0);
    return 18 + lzma_tree(z, p->high, 8, 0);
}

static uint32_t lzma_distance(lzma *z, uint32_t length) {
    unsigned slot = lzma_tree(z, z->p->slot[smaller(length - 2, 3)], 6, 0), bits = (slot >> 1) - 1;
    if (slot < 4) return slot;
    uint32_t found = (2u | (slot & 1)) << bits, direct = 0;
    if (slot < 14) return found + lzma_tree(z, z->p->special + (found - slot), bits, 1);
    for (unsigned k = 4; k < bits; k++) {
        refill(z);
        z->range >>= 1;
        direct = direct << 1 | (z->code >= z->range);
        if (direct & 1) z->code -= z->range;
    }
    return found + (direct << 4) + lzma_tree(z, z->p->align, 4, 1);
}

static void lzma_literal(lzma *z, uint16_t *p) {
    /* A state from 7 on is that behind a match, of which reps[0] was the distance. */
    unsigned late = z->state >= 7, match = late ? z->out[z->position - z->reps[0] - 1] : 0;
    unsigned beside = late << 8, symbol = 1;
    while (symbol < 0x100) {
        match <<= 1;
        unsigned other = match & beside, bit = lzma_bit(z, p + beside + other + symbol);
        symbol = symbol << 1 | bit;
        if (other != bit << 8) beside = 0;
    }
    z->out[z->position++] = (unsigned char)symbol;
    z->state = z->state < 4 ? 0 : z->state < 10 ? z->state - 3 : z->state - 6;
}

static void lzma_chunk(lzma *z) {
    unsigned lc = z->properties % 9, lp = z->properties / 9 % 5, pb = z->properties / 45;
    if (pb > 4 || lc + lp > 4) bad_lzma(z->r);
    while (z->position < z->stop) {
        uint64_t from = z->position - z->start;
        unsigned place = (unsigned)from & ((1u << pb) - 1), late = z->state >= 7, which = 3;
        if (!lzma_bit(z, &z->p->match[z->state][place])) {
            unsigned before = from ? z->out[z->position - 1] : 0;
            lzma_literal(z, z->p->literal[(((unsigned)from & ((1u << lp) - 1)) << lc) + (before >> (8 - lc))]);
            continue;
        }
        uint32_t length = 1, distance;
        if (!lzma_bit(z, &z->p->rep[z->state])) {
            length = lzma_length(z, &z->p->match_length, place);
            distance = lzma_distance(z, length);
            z->state = late ? 10 : 7;
        } else {
            which = lzma_bit(z, &z->p->rep0[z->state]);
            unsigned whole = which || lzma_bit(z, &z->p->rep0_long[z->state][place]);
            if (which && lzma_bit(z, &z->p->rep1[z->state])) which = 2 + lzma_bit(z, &z->p->rep2[z->state]);
            distance = z->reps[which];
            if (whole) length = lzma_length(z, &z->p->rep_length, place);
            z->state = late ? 11 : whole ? 8 : 9;
        }
        memmove(z->reps + 1, z->reps, which * sizeof *z->reps);
        z->reps[0] = distance;
        if (distance >= from || distance >= 1u << 24 || length > z->stop - z->position) bad_lzma(z->r);
        for (; length--; z->position++) z->out[z->position] = z->out[z->position - distance - 1];
    }
    refill(z);
}

/* What is unpacked must be `most` bytes, and the stream end where its bytes do. */
static void unpack(reader *r, const unsigned char *in, uint64_t bytes, unsigned char *out, uint64_t most) {
    lzma z = {.r = r, .in = in, .end = in + bytes, .out = out, .p = take(r, 1, sizeof *z.p)};
    /* A packed chunk below `least` lacks properties, or a dictionary too, which 1 begins as well. */
    for (unsigned control, least = 0xE0; (control = (unsigned)lzma_bytes(&z, 1)) != 0;) {
        int packed = control >= 0x80;
        if (packed ? control < least : control > (least < 0xE0 ? 2 : 1)) bad_lzma(r);
        if (control == 1 || control >= 0xE0) z.start = z.position;
        least = control == 1 ? 0xC0 : control >= 0xC0 ? 0x80 : least;
        uint64_t made = lzma_bytes(&z, 2) + 1 + (packed ? (uint64_t)(control & 31) << 16 : 0);
        uint64_t length = packed ? lzma_bytes(&z, 2) + 1 : made;
        if (control >= 0xC0) z.properties = (unsigned)lzma_bytes(&z, 1);
        if (made > most - z.position || length > (uint64_t)(z.end - z.in)) bad_lzma(r);
        const unsigned char *after = z.in + length;
        z.stop = z.position + made;
        if (!packed) {
            memcpy(out + z.position, z.in, (size_t)made);
            z.position = z.stop;
            z.in = after;
            continue;
        }
        if (control >= 0xA0) {
            for (uint16_t *p = (uint16_t *)z.p; p < (uint16_t *)(z.p + 1); p++) *p = 1024;
            memset(z.reps, 0, sizeof z.reps);
            z.state = 0;
        }
        uint64_t code = lzma_bytes(&z, 5);              /* begins with a 0 */
        z.code = (uint32_t)code;
        z.range = 0xFFFFFFFFu;
        lzma_chunk(&z);
        if (z.in != after || z.code || code >> 32) bad_lzma(r);
    }
    if (z.in != z.end || z.position != most) bad_lzma(r);
}

/* ---- table: JSON in ASCII without spaces, whose keys and fields have an order ---- */
static void bad_table(reader *r, const char *what) {
    FAIL(r, "its table is wrong at byte %lu (%s)", (unsigned long)(r->at - r->file->table), what);
}

static void expect(reader *r, const char *text, const char *what) {
    size_t length = strlen(text);
    if (strncmp(r->at, text, length) != 0) bad_table(r, what);
    r->at += length;
}

static void expect_item(reader *r, const char *text, const char *what) {
    if (r->at[-1] != '[') expect(r, ",", what);         /* unless it is the first of a list */
    expect(r, text, what);
}

static int more(reader *r) {
    int found = *r->at != ']';
    r->at += !found;                                    /* the list ends */
    return found;
}

static int64_t whole(reader *r, int64_t low, int64_t high, const char *what) {
    expect_item(r, "", what);
    const char *start = r->at + (*r->at == '-');
    size_t n = strspn(start, "0123456789");
    long long found = strtoll(r->at, 0, 10);            /* the last of 64 bits for one beyond them */
    if (!n || (*start == '0' && r->at + 1 < start + n) || found < low || found > high) bad_table(r, what);
    r->at = start + n;
    return found;
}

static unsigned one_of(reader *r, const char *const *words, int n, const char *what) {
    expect_item(r, "\"", what);
    size_t length = strcspn(r->at, "\"");
    while (n-- && (strlen(words[n]) != length || memcmp(r->at, words[n], length) != 0)) {}
    if (n < 0) bad_table(r, what);
    r->at += length;
    expect(r, "\"", what);
    return (unsigned)n;
}

static const char *joined(reader *r, const char *start, const char *end) {
    return strcat(strcpy(take(r, strlen(start) + strlen(end) + 1, 1), start), end);
}

/* A row, of which the first field is this. */
static const char *name(reader *r) {
    expect_item(r, "[\"", "no row with a name");
    size_t length = strspn(r->at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.");
    const char *found = memcpy(take(r, length + 1, 1), r->at, length), **at;
    if (!length || length > NAME_MOST || *found == '.' || found[length - 1] == '.' || strstr(found, ".."))
        bad_table(r, "no tensor can be named so");
    r->at += length;
    expect(r, "\"", "no tensor can be named so");
    /* Nobody can choose names whose hashes meet, since these depend on the SHA-256 of the file. */
    uint64_t hash = r->key;
    while (length--) hash = (hash ^ (unsigned char)found[length]) * r->key;
    for (hash >>= 32; *(at = r->names + hash % (r->file->table_length / 4)); hash++)
        if (strcmp(*at, found) == 0) FAIL(r, "its table is wrong: two tensors are named %.80s", found);
    r->count++;
    return *at = found;
}

/* Where there is `outer`, it is broadcast to that. */
static void shape(reader *r, esp_tensor *t, const esp_tensor *outer) {
    uint64_t product = 1;
    expect_item(r, "[", "a shape is no list");
    for (t->count = 1; more(r); t->rank++) {
        if (t->rank == ESP_RANK) bad_table(r, "a shape of more than 8 sizes");
        uint64_t size = (uint64_t)whole(r, 0, INT32_MAX, "a size");
        if (product > ((uint64_t)1 << 56) / larger(size, 1)) bad_table(r, "a shape beyond 2^56");
        product *= larger(size, 1);
        t->count *= size;
        t->shape[t->rank] = (uint32_t)size;
        if (outer && size != 1 && size != outer->shape[t->rank]) bad_table(r, "scales that do not fit its shape");
    }
    if (outer && t->rank && t->rank != outer->rank) bad_table(r, "scales that do not fit its shape");
}

static row *add_row(reader *r, unsigned kind, esp_type type) {
    row *one = *r->end = take(r, 1, sizeof *one);
    r->end = &one->next;
    one->kind = kind;
    one->tensor.type = type;
    return one;
}

static void read_levels(reader *r) {
    static const int64_t GREATEST[SETTINGS] = {(1 << 17) - 1, (1 << 17) - 1, 34, (1 << 16) - 1};
    row *one = add_row(r, LEVELS, ESP_INT32);
    esp_tensor *t = &one->tensor, *scale = &add_row(r, SCALE, ESP_FLOAT32)->tensor;
    t->name = name(r);
    shape(r, t, 0);
    one->lowest = whole(r, -65536, 0, "lowest");
    one->highest = whole(r, 1, 65535, "highest");
    shape(r, scale, t);
    int stored = strncmp(r->at, ",true", 5) == 0;
    expect_item(r, stored ? "true" : "false", "zero_points is neither true nor false");
    esp_tensor *zero_point = &add_row(r, stored ? ZERO_POINT : NONE, ESP_INT32)->tensor;
    *zero_point = *scale;
    zero_point->type = ESP_INT32;
    zero_point->name = joined(r, t->name, ":zero_point");
    scale->name = joined(r, t->name, ":scale");
    one->codec = (unsigned)whole(r, 0, t->count > 0, "no such codec");
    one->low = whole(r, 1 - (1 << 17), (1 << 17) - 1, "low");
    one->high = whole(r, one->low, (1 << 17) - 1, "high");
    expect_item(r, "[", "settings are no list");
    for (int k = 0; one->codec && k < SETTINGS; k++)
        one->settings[k] = whole(r, k == 0 ? 1 : k == 1 ? one->settings[0] : 0, GREATEST[k], "a setting");
    expect(r, "]", "settings of another codec");
    one->bytes = (uint64_t)whole(r, 0, INT32_MAX, "bytes");
}

static void read_table(reader *r, const char *table, size_t length) {
    static const char *const CODECS[2] = {"xz", "range"};
    size_t order = 0, plain = 0;
    r->at = r->file->table = table;
    r->file->table_length = length;
    r->names = take(r, length / 4, sizeof *r->names);   /* a row takes more than 12 bytes */
    expect(r, "{\"levels\":[", "levels");
    for (r->end = &r->rows; more(r); expect(r, "]", "a row has another length")) read_levels(r);
    size_t quantized = r->count;
    expect(r, ",\"order\":[", "order");
    for (r->order = r->at; more(r); order++) plain += (size_t)whole(r, 0, 1, "order");
    expect(r, ",\"plain\":[", "plain");
    for (r->plain = r->end; more(r); expect(r, "]", "a row has another length")) {
        row *one = add_row(r, 0, 0);
        one->tensor.name = name(r);
        shape(r, &one->tensor, 0);
        one->kind = one_of(r, KIND, SCALE, "no such type");
        int wide = r->form == ESP_AS_STATE && (one->kind == ESP_FLOAT16 || one->kind == ESP_BFLOAT16);
        one->tensor.type = wide ? ESP_FLOAT32 : (esp_type)one->kind;
    }
    if (order != r->count || plain != r->count - quantized) bad_table(r, "the order is not that of its tensors");
    expect(r, ",\"record\":{", "record");
    r->file->record = r->at - 1;                        /* passed on as it is: only its end is looked for */
    for (size_t depth = 1, quoted = 0; depth; r->at++) {
        if ((signed char)*r->at < ' ') bad_table(r, "the record goes beyond ASCII, or has no end");
        if (*r->at == '"') quoted = !quoted;
        else if (quoted) r->at += *r->at == '\\' && (r->at[1] == '\\' || r->at[1] == '"');
        else depth += (*r->at == '{' || *r->at == '[') - (size_t)(*r->at == '}' || *r->at == ']');
    }
    r->file->record_length = (size_t)(r->at - r->file->record);
    expect(r, ",\"words\":[", "words");
    for (r->end = &r->words; more(r); expect(r, "]", "a row has another length")) {
        expect_item(r, "[", "a row is no list");
        row *one = add_row(r, one_of(r, KIND, LEVELS, "no such type"), 0);
        one->codec = one_of(r, CODECS, 2, "no such codec");
        one->bytes = (uint64_t)whole(r, 0, INT32_MAX, "bytes");
    }
    if (strcmp(r->at, "}") != 0) bad_table(r, "its end");
}

/* Before anything is made: a sparse tensor of any size fits a few bytes, so the shapes are what counts. */
static void check_sizes(reader *r, uint64_t bytes) {
    uint64_t size = 0;
    unsigned asked = 1u << LEVELS | 1u << NONE, given = asked;
    for (const row *one = r->rows; one; one = one->next) {
        if (one->kind != NONE) size = smaller(size + KIND_BYTES[one->kind] * one->tensor.count, (uint64_t)1 << 60);
        r->totals[one->kind] += one->tensor.count;
        asked |= 1u << one->kind;
        if (one->kind == LEVELS) bytes -= one->bytes + 4;
    }
    for (const row *one = r->words; one; one = one->next) {
        if (given >> one->kind & 1) FAIL(r, "its table is wrong: two streams of words are of one kind");
        given |= 1u << one->kind;
        bytes -= one->bytes + 4;
    }
    if (asked != given) FAIL(r, "its streams of words are not those of its tensors");
    if (size > r->limit) FAIL(r, "its tensors would take more than %" PRIu64 " bytes, the limit here", r->limit);
    if (bytes) FAIL(r, "its streams do not add up to its size");
}

/* ---- checksums ---- */
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

/* Behind a stream stands the checksum of what it holds, and then the next stream. */
static void end_stream(reader *r, const row *one, uint32_t crc, const char *what) {
    r->stream += one->bytes + 4;
    if (little(r->stream - 4, 4) != ~crc) FAIL(r, "%.80s does not decode to what was coded", what);
}

/* ---- values ---- */
/* Levels less zero points to levels, or to fp32, in place; when the streams of words are decoded. */
static void finish_levels(reader *r, row *one) {
    esp_tensor *t = &one->tensor, *scale = &one->next->tensor, *zero_point = &one->next->next->tensor;
    int32_t *levels = t->values, *zero_points = zero_point->values;
    for (uint64_t k = 0; k < scale->count; k++)
        if (zero_points[k] < one->lowest || zero_points[k] > one->highest)
            FAIL(r, "%.80s has zero points beyond its levels", t->name);
    for (uint64_t k = 0; k < t->count; k++) {
        uint64_t at = 0, stride = 1, rest = k;          /* of its scale */
        for (unsigned d = scale->rank; d-- > 0; rest /= t->shape[d], stride *= scale->shape[d])
            if (scale->shape[d] > 1) at += rest % t->shape[d] * stride;
        int32_t level = levels[k] + zero_points[at];
        float number = (float)levels[k] * ((const float *)scale->values)[at];
        if (level < one->lowest || level > one->highest)
            FAIL(r, "%.80s has levels beyond %ld to %ld", t->name, (long)one->lowest, (long)one->highest);
        memcpy(levels + k, r->form == ESP_AS_LEVELS ? (void *)&level : (void *)&number, 4);
    }
    if (r->form != ESP_AS_LEVELS) t->type = ESP_FLOAT32;
}

/* The bits in fp32 of a number of 16 bits, which is the same. */
static uint32_t widened(uint32_t half, unsigned kind) {
    uint32_t bits, exponent = half >> 10 & 31, rest = half & 1023;
    float number = (float)rest * (1.0f / (1 << 24));    /* fp16 without an exponent */
    memcpy(&bits, &number, sizeof bits);
    if (exponent) bits = (exponent + 112) << 23 | rest << 13;
    if (exponent == 31) bits |= 255u << 23 | (rest ? 1u << 22 : 0);
    return kind == ESP_BFLOAT16 ? half << 16 : half >> 15 << 31 | bits;
}

/* ---- dense levels ---- */
static void decode_dense(reader *r, const row *one, int32_t *out) {
    uint64_t count = one->tensor.count, at = 0;
    unsigned width = 0;
    while ((one->high - one->low) >> width) width++;
    if (one->bytes != (count * width + 7) / 8) FAIL(r, "%.80s has another length than its stream", one->tensor.name);
    /* Four bytes hold any level, and behind the last one stands the checksum. */
    for (uint64_t k = 0; k < count; k++, at += width)
        out[k] = (int32_t)(one->low + (int64_t)(little(r->stream + at / 8, 4) >> at % 8 & ((1u << width) - 1)));
}

/* ---- the range coder ---- */
typedef struct {
    reader *r;
    const unsigned char *at, *end;
    uint64_t lower, range, point, scale;
} coder;

static uint32_t next_word(coder *c) {
    if (c->at == c->end) return 0;                      /* behind the end all words are 0 */
    c->at += 4;
    return (uint32_t)little(c->at - 4, 4);
}

/* No model codes more symbols in so few bytes. */
static coder begin(reader *r, const row *one, uint64_t symbols) {
    coder c = {r, r->stream, r->stream + one->bytes, 0, UINT64_MAX, 0, 0};
    if (one->bytes % 4 || symbols > (one->bytes + 8) * PER_BYTE) FAIL(r, "a range coded stream is cut short");
    c.point = (uint64_t)next_word(&c) << 32;
    c.point |= next_word(&c);
    return c;
}

/* Where in the current interval the number lies, in units of 2^-24. */
static uint32_t quantile(coder *c) {
    c->scale = c->range >> 24;
    uint64_t found = (c->point - c->lower) / c->scale;
    if (found >= FULL) FAIL(c->r, "a range coded stream is damaged");
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

/* How many of `n` growing numbers are `most` or less. */
static unsigned reached(const uint32_t *numbers, unsigned n, uint32_t most) {
    unsigned low = 0;
    while (n > low) {
        unsigned middle = (low + n) / 2;
        if (numbers[middle] <= most) low = middle + 1;
        else n = middle;
    }
    return low;
}

/* ---- blocks: all models learn behind each ---- */
static uint64_t block_size(uint64_t start, uint64_t total, uint64_t first) {
    return smaller(smaller(larger(first, smaller(start / 8, total / 64)), BLOCK), total - start);
}

/* ---- choices ---- */
typedef struct {
    unsigned n, pooled, ready;                          /* a bit for each context whose places hold */
    uint64_t total, together[256], counts[CLASSES][256];     /* the former with the prior, and times 2^20 */
    uint32_t places[CLASSES][257];
} choices;

/* Each symbol's share of the prior goes by how far it is from where it starts to the next, or where none do by 1. */
static choices *start_choices(reader *r, unsigned n, const uint32_t *starts, unsigned worth, unsigned pooled) {
    choices *m = take(r, 1, sizeof *m);
    uint64_t all = starts ? starts[n] - starts[0] : n;
    m->n = n;
    m->pooled = pooled;
    for (unsigned k = 0; k < n; k++)
        m->total += m->together[k] = ((uint64_t)(starts ? starts[k + 1] - starts[k] : 1) << 20) * worth / all + 1;
    return m;
}

static uint8_t code_choice(choices *m, coder *c, unsigned context) {
    uint32_t *places = m->places[context];
    if (m->n == 1) return 0;
    if (!(m->ready >> context & 1)) {
        uint64_t left[257] = {0}, total = larger(m->total >> 10, 1);
        for (unsigned k = 0; k < m->n; k++) {
            uint64_t shared = (m->together[k] >> 10) * (m->pooled << 10) / total;
            left[k + 1] = left[k] + (m->counts[context][k] << 10) + shared + 1;
        }
        /* Floats that are wider in between, as some machines have them, would end in a wrong checksum. */
        double scale = (double)(FULL - m->n) / (double)left[m->n];
        for (unsigned k = 0; k < m->n; k++) places[k] = (uint32_t)((double)left[k] * scale) + k;
        places[m->n] = FULL;
        m->ready |= 1u << context;
    }
    unsigned found = reached(places + 1, m->n - 1, quantile(c));
    narrow(c, places[found], places[found + 1] - places[found]);
    return (uint8_t)found;
}

static void count(choices *m, unsigned context, unsigned symbol) {
    m->counts[context][symbol]++;
    m->together[symbol] += 1 << 20;
    m->total += 1 << 20;
    m->ready = 0;
}

static history *of_length(history *h, uint64_t length) {
    while (h->count && h->length != length) h++;        /* few differ, since tensors of them are there in full */
    h->length = length;
    return h;
}

/* ---- bits by mixed predictions ---- */
typedef struct {
    reader *r;
    mixer *m;
    const unsigned char *at, *end;
    uint32_t low, high, point;
    int32_t inputs[INPUTS], places[INPUTS];
} mixed;

/* a / 2^bits, rounded down. */
static int64_t shifted(int64_t a, unsigned bits) {
    int64_t unit = (int64_t)1 << bits;
    return a < 0 ? -((unit - 1 - a) / unit) : a / unit;
}

static int64_t within(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }

static mixer *start_mixer(reader *r) {
    static const struct { int sets; int32_t weight; } START[] = {{168, 13107}, {88, 9830}, {1, 26214}, {20, 13107},
                                                            {5, 8000}, {5, 20000}};
    mixer *m = take(r, 1, sizeof *m);
    uint64_t power = (uint64_t)1 << 32;
    for (int x = 0; x <= MOST; x++) {
        m->squash[MOST + x] = (int32_t)(((uint64_t)1 << 48) / (((uint64_t)1 << 32) + power));
        m->squash[MOST - x] = ONE - m->squash[MOST + x];
        power = power * 4278222805u >> 32;              /* by e to the power of -1/256 */
    }
    for (int p = 0, x = 0; p < 4096; p++) {
        while (x < 2 * MOST && m->squash[x] < 16 * p + 8) x++;
        m->stretch[p] = x - MOST;
    }
    for (int k = 0; k < CONTEXTS; k++) m->contexts[k] = 1 << 21;
    for (int part = 0, set = 0, k = 0; part < 6; part++, k = 0)
        for (; k < START[part].sets; k++, set++)
            for (int n = 0; n < INPUTS; n++) m->weights[set][n] = START[part].weight;
    for (int k = 0; k < KINDS * EDGES; k++) {
        m->last[k] = m->squash[MOST + within((k % EDGES - 16) * 128, -MOST, MOST)] << 6;
        m->last_seen[k] = 6;
    }
    return m;
}

static uint8_t next_byte(mixed *c) { return c->at < c->end ? *c->at++ : 0; }   /* behind the end all bytes are 0 */

/* No model codes more in so few bytes. */
static void check_room(reader *r, const row *one, uint64_t symbols) {
    if (symbols > (one->bytes + 8) * PER_BYTE) FAIL(r, "the stream of %.80s is cut short", one->tensor.name);
}

static unsigned code_plain(mixed *c, uint32_t p) {
    uint32_t span = c->high - c->low, middle = c->low + (span >> 16) * p + ((span & 0xFFFF) * p >> 16);
    unsigned bit = c->point <= middle;
    if (bit) c->high = middle;
    else c->low = middle + 1;
    for (; (c->low ^ c->high) < 1u << 24; c->low <<= 8) {
        c->high = c->high << 8 | 255;
        c->point = c->point << 8 | next_byte(c);
    }
    return bit;
}

static int32_t stretch(const mixed *c, int64_t p) { return c->m->stretch[within(p, 0, ONE - 1) >> 4]; }

static void learn(int32_t *probability, uint16_t *seen, unsigned bit) {
    *probability += (int32_t)shifted((int64_t)(((int32_t)bit << 22) - *probability) * (131072 / (2 * *seen + 3)), 16);
    *seen += *seen < MEMORY;
}

static void move(int32_t *weights, const int32_t *inputs, int n, int64_t error) {
    for (int k = 0; k < n; k++)
        weights[k] = (int32_t)within(weights[k] + shifted(inputs[k] * error + (1 << 17), 18), -(1 << 22), 1 << 22);
}

/* A bit from the first `n` inputs and from `count` contexts, with two sets of weights and one of the last tables. */
static unsigned code_mixed(mixed *c, int n, int count, int first, int second, int kind, int rate) {
    mixer *m = c->m;
    int64_t one = 0, two = 0;
    for (int k = 0; k < count; k++) c->inputs[n++] = stretch(c, m->contexts[c->places[k]] >> 6);
    c->inputs[n++] = 256;
    for (int k = 0; k < n; k++) {
        one += (int64_t)c->inputs[k] * m->weights[first][k];
        two += (int64_t)c->inputs[k] * m->weights[second][k];
    }
    one = within(shifted(one, 16), -MOST, MOST) + MOST;
    two = within(shifted(two, 16), -MOST, MOST) + MOST;
    int both = (int)(one + two) / 2, edge = kind * EDGES + ((both + 1) >> 7), beyond = (both + 1) & 127;
    int64_t seen = ((int64_t)m->last[edge] * (128 - beyond) + (int64_t)m->last[edge + 1] * beyond) >> 13;
    unsigned bit = code_plain(c, (uint32_t)within((m->squash[both] + seen) / 2, LEAST, ONE - LEAST));
    move(m->weights[first], c->inputs, n, (((int64_t)bit << 16) - m->squash[one]) * rate);
    move(m->weights[second], c->inputs, n, (((int64_t)bit << 16) - m->squash[two]) * rate);
    for (int k = 0; k < count; k++) learn(&m->contexts[c->places[k]], &m->seen[c->places[k]], bit);
    edge += beyond >> 6;
    learn(&m->last[edge], &m->last_seen[edge], bit);
    return bit;
}

/* ---- levels by mixed predictions ---- */
enum { SPAN = 256, PRIOR = 20, DOUBT = 4 };             /* of the forecast: cells, lines before the first, the same */
enum { AT_BESIDE = 1536, AT_SIGN = 16896, OWN = 17312, SHARED = 19872, AT_HALVES = 28256, AT_FLAGS = 28672 };
enum { SETS_SIGN = 96, SETS_BINS = 168, SETS_HALVES = 256, SETS_FLAGS = 257, SETS_BESIDE = 277, BINS = SHARED };

static void forget(mixer *m, int from, int to) {
    for (int k = from; k < to; k++) {
        m->contexts[k] = 1 << 21;
        m->seen[k] = 0;
    }
}

static void code_flags(mixed *c, int axis, uint64_t length, uint8_t *found) {
    const history *h = of_length(c->r->flags, length);
    uint64_t kept = smaller(h->count, RECENT);
    forget(c->m, AT_FLAGS, AT_FLAGS + 9);
    for (uint64_t k = 0, latest = 0; k < length; k++) {
        int before = 0;
        for (uint64_t n = 0; n < kept; n++) before |= h->vectors[(h->count - 1 - n) % RECENT][k] << n;
        c->places[0] = AT_FLAGS + before;
        c->places[1] = AT_FLAGS + 8;
        c->places[2] = AT_FLAGS + 9 + axis * 8 + before;
        c->places[3] = AT_FLAGS + 25 + axis * 32 + before * 4 + (int)latest;
        found[k] = (uint8_t)code_mixed(c, 0, 4, SETS_FLAGS + axis * 8 + before, SETS_FLAGS + 16 + (int)latest, 8, 4);
        latest = (latest << 1 & 3) | found[k];
    }
}

/* Which lines of a tensor are live, and how much each holds beside their mean. */
static void remember(reader *r, const int32_t *levels, const uint64_t *m) {
    static const uint64_t STEPS[11] = {2, 3, 4, 6, 7, 9, 11, 14, 18, 24, 36};
    history *kept[TAPS];
    int axes = m[CHANNELS] == 1 ? 1 : 2;
    uint8_t *live[TAPS];
    for (int axis = 0; axis < axes; axis++) {
        kept[axis] = of_length(r->flags, m[axis]);
        uint8_t **vector = &kept[axis]->vectors[kept[axis]->count++ % RECENT];
        if (!kept[axis]->held) kept[axis]->held = take(r, m[axis], 1);
        if (!*vector) *vector = take(r, m[axis], 1);
        live[axis] = *vector;
    }
    uint64_t mark = r->used, *held[TAPS] = {take(r, m[ROWS], 8), take(r, m[CHANNELS], 8)};
    for (uint64_t i = 0; i < m[ROWS]; i++)
        for (uint64_t j = 0; j < m[CHANNELS]; j++)
            for (uint64_t k = 0; k < m[TAPS]; k++, levels++) {
                uint64_t size = *levels < 0 ? 0 - (uint64_t)*levels : (uint64_t)*levels;
                held[ROWS][i] += size;
                held[CHANNELS][j] += size;
            }
    for (int axis = 0; axis < axes; axis++) {
        uint64_t total = 0, count = 0;
        for (uint64_t k = 0; k < m[axis]; k++) {
            total += held[axis][k];
            count += live[axis][k] = held[axis][k] > 0;
        }
        uint64_t mean = larger(total / larger(count, 1), 1);
        for (uint64_t k = 0; k < m[axis]; k++) {
            uint8_t found = live[axis][k];
            for (int n = 0; found && n < 11; n++) found = (uint8_t)(found + (STEPS[n] <= held[axis][k] * 8 / mean));
            kept[axis]->held[k] = found;
        }
    }
    give_back(r, mark);
}

/* Which of 16 intervals a probability lies in, a ratio of two numbers, and which of 20 a distance in deviations. */
static int place(const mixed *c, int64_t p) { return (int)within(shifted(stretch(c, p) + 1088, 7), 0, 15); }

static int bits(uint64_t number) {
    int found = 0;
    for (; number; number >>= 1) found++;
    return found;
}

static int ratio(int64_t a, int64_t b) {
    int64_t found = a * 256 / (b > 1 ? b : 1), edge = 64;
    int at = 0;
    for (; at < 15 && found > edge; at++) edge = edge * 19 >> 4;
    return at;
}

static int distance(double d, double variance) {
    static const double SQUARES[19] = {-16, -9,      -4,    -2.25, -1,  -0.5, -0.25, -0.125, -0.03125, 0,
                                       0.03125, 0.125, 0.25,  0.5, 1, 2.25, 4, 9, 16};
    double square = d * (d < 0 ? -d : d);
    int found = 0;
    for (int k = 0; k < 19; k++) {
        double edge = SQUARES[k] * variance;
        found += square > edge;
    }
    return found;
}

/* What was seen in one line, or in all of them. */
typedef struct { int64_t ones, all, negative, sum, latest; unsigned bits, tap_ones, tap_sign; } line;

static int64_t rate(int64_t ones, int64_t all, int64_t prior) {
    return (ones * ONE + STRENGTH * prior) / (all + STRENGTH);
}

/* The mean of the magnitudes of a line, times 2^8; in a line of few, that of all. */
static int64_t mean_beside(const line *one, int64_t mean) { return (one->sum * 256 + 4 * mean) / (one->ones + 4); }

static int64_t above_least(const line *one, int64_t least, int64_t mean) {
    return ((one->sum - least * one->ones) * 256 + 6 * mean) / (one->ones + 6) + 64;
}

/* A magnitude, of which `towards` is the forecast; `excess` and `reached` of each interval. */
static int64_t code_magnitude(mixed *c, int kind, const line *all, const line *outer, const line *inner,
                              const int64_t *starts, int intervals, double towards, double variance, line *seen) {
    int64_t least = starts[0], width = starts[intervals] - 1 - least;
    int64_t mean = ((all->sum - least * all->ones) * 256 + 2 * (width << 8) / 3) / (all->ones + 2) + 64;
    int64_t a = above_least(outer, least, mean), b = above_least(inner, least, mean);
    int64_t combined = (int64_t)smaller((uint64_t)(a * b / mean), 1 << 25);
    int of_outer = ratio(a, mean), of_inner = ratio(b, mean), of_both = ratio(combined, mean);
    int before = ratio(outer->latest * 256, mean), above = ratio(inner->latest * 256, mean), k = 0, node = 1;
    for (; k < intervals - 1; k++) {
        int64_t size = (starts[k + 1] - starts[k]) * 256, near = starts[k] - least + 1;
        int64_t further = (seen[k].sum * 256 + 4 * mean) / (seen[k].all + 4) + 32;
        double middle = (double)(starts[k] + starts[k + 1] - 1) * 0.5;
        int away = distance(middle - towards, variance), relative = ratio(near * 256, mean);
        int wide = distance((double)(starts[k + 1] - starts[k]), variance) - 9;
        c->inputs[0] = stretch(c, size * ONE / (size + further));
        c->inputs[1] = stretch(c, size * ONE / (size + further * combined / mean));
        c->places[0] = OWN + k * 40;
        c->places[1] = OWN + k * 40 + 1 + of_outer;
        c->places[2] = OWN + k * 40 + 17 + of_inner;
        c->places[3] = BINS + (kind * 16 + relative) * 16 + of_both;
        c->places[4] = BINS + 768 + k * 16 + before;
        c->places[5] = BINS + 1792 + (wide * 20 + away) * 16 + relative;
        c->places[6] = BINS + 5312 + k * 32 + away;
        c->places[7] = BINS + 7360 + k * 16 + above;
        if (code_mixed(c, 2, 8, SETS_BINS + k, SETS_BINS + 64 + away, 6, 2)) break;
    }
    int64_t low = starts[k], high = starts[k + 1];
    while (high - low > 1) {
        int64_t middle = (low + high) / 2, p = (high - middle) * ONE / (high - low);
        unsigned up;
        if (node < 4) {
            c->inputs[0] = stretch(c, p);
            c->places[0] = AT_HALVES + k * 4 + node;
            c->places[1] = AT_HALVES + 256 + distance((double)middle - 0.5 - towards, variance) * 8;
            c->places[1] += (int)within(high - low, 0, 7);
            up = code_mixed(c, 1, 2, SETS_HALVES, SETS_HALVES, 7, 2);
        } else
            up = code_plain(c, (uint32_t)p);
        if (up) low = middle;
        else high = middle;
        node = node * 2 + (int)up;
    }
    for (int n = 0; n <= k && n < intervals - 1; n++) {
        seen[n].sum += low - starts[n];
        seen[n].all++;
    }
    return low;
}

/* The covariance of a line, learned from one: L D L' where L is `factor` and D `diagonal`. Each product is rounded. */
static void update(double *factor, double *diagonal, uint64_t inner, double *rest) {
    for (uint64_t first = 0, last; first < inner; first = last) {
        double scale = 1.0;
        last = smaller(first + SPAN, inner);
        for (uint64_t j = first; j < last; j++) {
            double error = rest[j], scaled = scale * error, square = scaled * error, grown = diagonal[j] + square;
            double gain = scaled / grown, product = scale * diagonal[j], *l = factor + j * smaller(inner, SPAN) - first;
            scale = product / grown;
            diagonal[j] = grown;
            for (uint64_t k = j + 1; k < last; k++) {
                double moved = error * l[k];
                rest[k] -= moved;
                moved = gain * rest[k];
                l[k] += moved;
            }
        }
    }
}

typedef struct {
    uint64_t sizes[3];                                  /* outer lines, taps, inner lines */
    const uint32_t *lines[TAPS];                        /* where they are in the tensor, 0 if none */
    const uint8_t *held[TAPS];                          /* what each held in a tensor before, 0 if none did */
    uint64_t steps[3];                                  /* from one outer line, tap and inner line to the next */
    uint64_t width;                                     /* of the images that outer lines are places of, 0 if none */
} view;

/* Of an outer line the one to the left, above, above to the left and to the right, counted from 1; 0 if none. */
static void find_beside(const view *v, const uint32_t *numbers, uint64_t i, uint32_t *found) {
    static const int RIGHT[BESIDE] = {-1, 0, -1, 1}, DOWN[BESIDE] = {0, -1, -1, -1};
    int64_t width = (int64_t)v->width, at = v->lines[0][i], x = at % width, y = at / width % width;
    for (int k = 0; k < BESIDE; k++) {
        int inside = x + RIGHT[k] >= 0 && x + RIGHT[k] < width && y + DOWN[k] >= 0;
        found[k] = inside ? numbers[at + RIGHT[k] + DOWN[k] * width] : 0;
    }
}

static void code_cells(mixed *c, int kind, const view *v, const int64_t *settings, int32_t *out) {
    reader *r = c->r;
    uint64_t inner = v->sizes[2], lines = 0;
    int64_t starts[INTERVALS + 1] = {settings[0]}, whole, p, q;
    int intervals = 0;
    for (; intervals < INTERVALS && starts[intervals] <= settings[1]; intervals++) {    /* to 59 at most */
        uint64_t s = (uint64_t)starts[intervals], left = (uint64_t)settings[1] - s;
        uint64_t width = smaller(s / 4, (uint64_t)(settings[1] - settings[0]) / 16);
        starts[intervals + 1] = (int64_t)(s + larger(1, smaller(width, left)));
    }
    line all = {0}, *at = take(r, inner, sizeof *at), seen[INTERVALS] = {{0}};
    uint64_t span = smaller(inner, SPAN);
    double *factor = take(r, inner * span, sizeof *factor), *diagonal = take(r, inner, sizeof *diagonal);
    double *forecast = take(r, inner, sizeof *forecast), *values = take(r, inner, sizeof *values);
    double *squares = take(r, inner, sizeof *squares);      /* of the errors of forecasts */
    for (uint64_t j = 0; j < inner; j++) {
        diagonal[j] = (double)PRIOR * (double)((uint64_t)1 << settings[2]);
        squares[j] = (double)DOUBT * (double)((uint64_t)1 << settings[2]);
    }
    uint32_t *numbers = 0;                              /* of the outer lines by their places */
    int64_t *ones_of = take(r, v->sizes[0], sizeof *ones_of);
    if (v->width) numbers = take(r, (uint64_t)v->lines[0][v->sizes[0] - 1] + 1, sizeof *numbers);
    for (uint64_t i = 0; v->width && i < v->sizes[0]; i++) numbers[v->lines[0][i]] = (uint32_t)i + 1;
    forget(c->m, OWN, SHARED);
    for (uint64_t i = 0; i < v->sizes[0]; i++) {
        line row = {0};
        int outer_held = v->held[0] ? v->held[0][v->lines[0][i]] : 0, age = (int)smaller((uint64_t)bits(i), 15);
        uint32_t beside[BESIDE] = {0};
        int64_t beside_ones = 0, beside_all = 0;
        if (v->width) find_beside(v, numbers, i, beside);
        for (int k = 0; k < BESIDE; k++) {
            beside_ones += beside[k] ? ones_of[beside[k] - 1] : 0;
            beside_all += beside[k] ? (int64_t)inner : 0;
        }
        for (uint64_t j = 0; j < inner; j++) at[j].tap_ones = at[j].tap_sign = 0;
        for (uint64_t tap = 0; tap < v->sizes[1]; tap++) {
            double weight = (double)lines++ + DOUBT;
            int near_tap = (int)smaller(tap, 15);
            for (uint64_t j = 0; j < inner; j++) forecast[j] = 0;
            for (uint64_t j = 0; j < inner; j++) {
                line *column = at + j;
                double expected = forecast[j], variance = squares[j] / weight;
                int64_t value = 0, mean = all.sum * 256 / (all.ones > 1 ? all.ones : 1);
                whole = (all.ones * 2 + 1) * ONE / (all.all * 2 + 2);
                p = rate(row.ones, row.all, whole);
                if (v->width) {
                    p = rate(beside_ones, beside_all, whole);
                    p = (row.ones * ONE + 2 * STRENGTH * p) / (row.all + 2 * STRENGTH);
                }
                q = rate(column->ones, column->all, whole);
                int in_row = place(c, p), in_column = place(c, q), base = kind * 5632;
                int inner_held = v->held[1] ? v->held[1][v->lines[1][j]] : 0;
                c->inputs[0] = stretch(c, p);
                c->inputs[1] = stretch(c, q);
                c->inputs[2] = stretch(c, whole);
                c->places[0] = base + in_row * 16 + in_column;
                c->places[1] = base + 256 + in_row * 16 + (int)(row.bits & 15);
                c->places[2] = base + 512 + in_column * 8 + (int)(column->bits & 7);
                c->places[3] = base + 768 + outer_held * 16 + inner_held;
                c->places[4] = base + 1024 + (distance(expected < 0 ? -expected : expected, variance) - 9) * 16;
                c->places[4] += in_column;
                c->places[5] = base + 1280 + ratio(mean_beside(&row, mean), mean) * 16;
                c->places[5] += ratio(mean_beside(column, mean), mean);
                c->places[6] = base + 1536 + (near_tap * 16 + (int)smaller(column->tap_ones, 15)) * 16 + in_column;
                int set = kind * 16 + age, near = 0, pattern = 0, signs = 0, balance = 0;
                for (int k = 0; k < BESIDE; k++) {
                    uint64_t line_at = beside[k] ? v->lines[0][beside[k] - 1] : 0;
                    uint64_t cell = line_at * v->steps[0] + (v->lines[1] ? v->lines[1][j] : j) * v->steps[2];
                    int32_t there = beside[k] ? out[cell] : 0;
                    near += there != 0;
                    pattern |= (there != 0) << k;
                    signs |= (there < 0 ? 2 : there > 0) << 2 * k;
                    balance += (there > 0) - (there < 0);
                }
                if (v->width) {
                    set = SETS_BESIDE + near;
                    c->places[6] = AT_BESIDE + pattern * 16 + in_column;
                }
                int count = v->width || v->sizes[1] > 1 ? 7 : 6;
                if (code_mixed(c, 3, count, set, 48 + kind * 16 + in_row, kind, 5)) {
                    double typical = all.ones ? (double)all.sum / (double)all.ones : 0, odds = -512.0 * expected;
                    int away = distance(-expected, variance);
                    if (!all.ones) typical = (double)starts[0] + (double)(starts[intervals] - 1 - starts[0]) / 4;
                    odds = odds * typical / variance;
                    p = rate(row.negative, row.ones, ONE / 2);
                    q = rate(column->negative, column->ones, ONE / 2);
                    c->inputs[0] = stretch(c, p);
                    c->inputs[1] = stretch(c, q);
                    c->inputs[2] = stretch(c, rate(all.negative, all.ones, ONE / 2));
                    c->inputs[3] = (int32_t)(odds < -2047.0 ? -2047.0 : odds > 2047.0 ? 2047.0 : odds);
                    c->places[0] = AT_SIGN + place(c, p) * 16 + place(c, q);
                    c->places[1] = AT_SIGN + 256 + kind * 32 + away;
                    c->places[2] = AT_SIGN + 352 + near_tap * 4 + (int)column->tap_sign;
                    c->places[3] = AT_BESIDE + 256 + signs;
                    c->places[4] = AT_BESIDE + 516 + balance;
                    set = v->width ? SETS_BESIDE + 5 + near : SETS_SIGN + kind * 16 + age;
                    unsigned negative = code_mixed(c, 4, v->width ? 5 : 3, set, SETS_SIGN + 48 + away, 3 + kind, 6);
                    int64_t size = code_magnitude(c, kind, &all, &row, column, starts, intervals,
                                                  negative ? -expected : expected, variance, seen);
                    line *each[3] = {&all, &row, column};
                    for (int n = 0; n < 3; n++) {
                        each[n]->ones++;
                        each[n]->negative += negative;
                        each[n]->sum += size;
                        each[n]->latest = size;
                    }
                    column->tap_ones++;
                    column->tap_sign = 1 + negative;
                    value = negative ? -size : size;
                    uint64_t from = (v->lines[0] ? v->lines[0][i] : i) * v->steps[0] + tap * v->steps[1];
                    out[from + (v->lines[1] ? v->lines[1][j] : j) * v->steps[2]] = (int32_t)value;
                }
                all.all++;
                row.all++;
                column->all++;
                row.bits = row.bits << 1 | (value != 0);
                column->bits = column->bits << 1 | (value != 0);
                values[j] = (double)value;
                uint64_t first = j / SPAN * SPAN;
                double error = (double)value - expected, square = error * error, *l = factor + j * span - first;
                squares[j] += square;
                for (uint64_t k = j + 1; k < smaller(first + SPAN, inner); k++) {
                    double moved = l[k] * error;
                    forecast[k] += moved;
                }
            }
            update(factor, diagonal, inner, values);
        }
        ones_of[i] = row.ones;
    }
}

static void decode_mixed(reader *r, const row *one, const uint64_t *m, int32_t *out) {
    uint64_t live[3] = {0, 0, m[TAPS]};
    uint32_t *lines[TAPS];
    check_room(r, one, m[ROWS] + m[CHANNELS]);
    mixed c = {.r = r, .m = r->memory, .at = r->stream, .end = r->stream + one->bytes, .high = UINT32_MAX};
    for (int k = 0; k < 4; k++) c.point = c.point << 8 | next_byte(&c);
    uint8_t *flags = take(r, larger(m[ROWS], m[CHANNELS]), 1);
    for (int axis = 0; axis < TAPS; axis++) {
        lines[axis] = take(r, m[axis], sizeof *lines[axis]);
        if (axis == ROWS || m[axis] > 1) code_flags(&c, axis, m[axis], flags);
        else flags[0] = live[ROWS] > 0;                 /* a single channel is live where any row is */
        for (uint64_t k = 0; k < m[axis]; k++)
            if (flags[k]) lines[axis][live[axis]++] = (uint32_t)k;
    }
    check_room(r, one, live[ROWS] * live[CHANNELS] * live[TAPS]);
    if (!live[ROWS] || !live[CHANNELS]) return;
    const uint8_t *held[TAPS] = {of_length(r->flags, m[ROWS])->held, of_length(r->flags, m[CHANNELS])->held};
    uint64_t steps[3] = {m[CHANNELS] * m[TAPS], m[TAPS], 1};
    int tall = live[ROWS] >= live[CHANNELS];
    view v = {{live[!tall], live[TAPS], live[tall]}, {lines[!tall], lines[tall]}, {held[!tall], held[tall]},
              {steps[!tall], 1, steps[tall]}, tall || live[TAPS] > 1 ? 0 : (uint64_t)one->settings[3]};
    if (live[CHANNELS] == 1) {                          /* a matrix of rows and taps */
        uint64_t from = lines[CHANNELS][0] * m[TAPS];
        tall = live[ROWS] >= live[TAPS];
        view single = {{live[tall ? ROWS : TAPS], 1, live[tall ? TAPS : ROWS]}, {0, 0}, {0, 0},
                       {steps[tall ? 0 : 2], 0, steps[tall ? 2 : 0]}, 0};
        single.lines[!tall] = lines[ROWS];
        single.held[!tall] = held[ROWS];
        v = single;
        out += from;
    }
    code_cells(&c, live[TAPS] > 1 ? live[CHANNELS] == 1 ? 1 : 2 : 0, &v, one->settings, out);
}

static void decode_levels(reader *r, row *one) {
    esp_tensor *t = &one->tensor;
    int32_t *out = t->values;
    uint64_t mark = r->used, rows = t->rank < 2 ? 1 : t->shape[0], channels = t->rank < 2 ? t->count : t->shape[1];
    uint64_t m[3] = {rows, channels, t->count / larger(rows * channels, 1)};    /* a vector is one row */
    if (one->codec) decode_mixed(r, one, m, out);
    else decode_dense(r, one, out);
    give_back(r, mark);
    uint32_t crc = 0xFFFFFFFFu;
    for (unsigned d = 0; d < t->rank; d++) crc = crc_number(r, crc, t->shape[d], 8);
    for (uint64_t k = 0; k < t->count; k++) {
        if (out[k] < one->low || out[k] > one->high) FAIL(r, "%.80s has levels beyond its low and high", t->name);
        crc = crc_number(r, crc, (uint32_t)out[k], 4);
    }
    end_stream(r, one, crc, t->name);
    if (t->count) remember(r, out, m);
}

/* ---- words ---- */
/* A byte of each of `n` words, `step` bytes apart; those of one context stand together in the stream. */
static void code_bytes(choices *m, coder *c, const uint8_t *contexts, uint8_t *out, size_t n, unsigned step) {
    uint32_t present = 0;
    for (size_t k = 0; k < n; k++) present |= 1u << contexts[k];
    for (unsigned context = 0; present >> context; context++)
        for (size_t k = 0; present >> context & 1 && k < n; k++)
            if (contexts[k] == context) out[k * step] = code_choice(m, c, context);
    for (size_t k = 0; k < n; k++) count(m, contexts[k], out[k * step]);
}

/* Words of all tensors of a kind, as their bytes. The last part of a name chooses the models; all beyond 15 share. */
static void decode_bytes(reader *r, coder c, unsigned kind, uint8_t *out) {
    choices *models[PARTS][8] = {{0}};
    const char *parts[PARTS - 1];
    unsigned part_count = 0, part, size = KIND_BYTES[kind];
    uint8_t *contexts = take(r, BLOCK, 1);
    history *lengths = take(r, 2 * r->count + 1, sizeof *lengths);
    for (const row *one = r->rows; one; one = one->next) {
        if (one->kind != kind) continue;
        const char *dot = strrchr(one->tensor.name, '.'), *last = dot ? dot + 1 : one->tensor.name;
        for (part = 0; part < part_count && strcmp(parts[part], last) != 0;) part++;
        if (part == part_count && part < PARTS - 1) parts[part_count++] = last;
        history *h = of_length(lengths, one->tensor.count);
        const uint8_t *before = h->vectors[0];
        h->vectors[0] = out;
        h->count++;
        for (uint64_t start = 0, n; start < h->length; start += n, out += n * size) {
            n = block_size(start, h->length, 64);
            for (unsigned plane = 0; plane < size; plane++) {
                choices **m = &models[part][plane];
                if (!*m) *m = plane ? start_choices(r, 256, 0, 1024, 64) : start_choices(r, 256, 0, 16, 16);
                for (uint64_t k = 0; plane < 2 && k < n; k++)
                    contexts[k] = plane ? !out[k * size] : before ? 1 + before[(start + k) * size] / 16 : 0;
                code_bytes(*m, &c, contexts, out + plane, (size_t)n, size);
            }
        }
    }
}

static void decode_words(reader *r, const row *words) {
    unsigned kind = words->kind, size = KIND_BYTES[kind];
    uint64_t mark = r->used, total = r->totals[kind];
    uint32_t crc = 0xFFFFFFFFu;
    for (const row *one = r->rows; one; one = one->next)
        for (unsigned d = 0; one->kind == kind && d < one->tensor.rank; d++)
            crc = crc_number(r, crc, one->tensor.shape[d], 8);
    uint8_t *bytes = take(r, total, size);
    uint64_t step = words->codec ? size : 1, jump = words->codec ? 1 : total;   /* to the next word, to its next byte */
    if (words->codec) decode_bytes(r, begin(r, words, total * size), kind, bytes);
    else unpack(r, r->stream, words->bytes, bytes, total * size);
    for (row *one = r->rows; one; one = one->next) {
        uint8_t *to = one->tensor.values;
        unsigned made = KIND_BYTES[one->tensor.type];
        for (uint64_t k = 0; one->kind == kind && k < one->tensor.count; k++, bytes += step, to += made) {
            uint64_t word = 0;
            for (unsigned plane = 0; plane < size; plane++) {
                crc = crc_number(r, crc, bytes[plane * jump], 1);
                word = word << 8 | bytes[plane * jump];
            }
            if (kind == ESP_BOOL && word > 1) FAIL(r, "a truth value is neither 0 nor 1");
            if (kind <= ESP_FLOAT64 || kind == SCALE) word = word >> 1 | (word & 1) << (8 * size - 1);
            if (made > size) word = widened((uint32_t)word, kind);
            memcpy(to, &word, made);
        }
    }
    end_stream(r, words, crc, KIND[kind]);
    give_back(r, mark);
}

/* ---- what is called from outside ---- */
int esp_open(esp_file *file, const void *bytes, size_t size, void *arena, size_t arena_bytes, uint64_t limit,
             esp_form form) {
    const unsigned char *data = bytes;
    size_t skipped = (16 - (uintptr_t)arena % 16) % 16;
    reader opened = {.file = memset(file, 0, sizeof *file), .form = form}, *r = &opened;
    r->arena = (unsigned char *)arena + skipped;
    r->room = arena_bytes < skipped ? 0 : arena_bytes - skipped;
    r->limit = smaller(limit, (uint64_t)1 << 33);       /* counts hold in 32 bits below it */
    ASAN_POISON_MEMORY_REGION(r->arena, (size_t)r->room);
    if (setjmp(r->back)) return -1;
    if (size > r->limit) FAIL(r, "it has more than %" PRIu64 " bytes, the limit here", r->limit);
    if (size < HEADER || memcmp(data, "\x89" "ESP", 4) != 0) FAIL(r, "it is no .esp file, or cut short");
    if (data[4] != VERSION) FAIL(r, "its format is %d, and this version reads %d", data[4], VERSION);
    check_sha256(r, data, size);
    uint64_t packed = little(data + 5, 4), unpacked = little(data + 9, 4);
    if (packed > size - HEADER || unpacked > TABLE_MOST) FAIL(r, "its table is too long");
    unsigned char *table = take(r, unpacked + 1, 1);
    unpack(r, data + HEADER, packed, table, unpacked);
    read_table(r, (char *)table, (size_t)unpacked);
    check_sizes(r, size - HEADER - packed);
    crc_table(r->crc);
    for (row *one = r->rows; one; one = one->next)
        one->tensor.values = take(r, one->tensor.count, KIND_BYTES[one->tensor.type]);
    r->flags = take(r, 2 * r->count + 1, sizeof *r->flags);
    r->memory = start_mixer(r);
    r->stream = data + HEADER + packed;
    for (row *one = r->rows; one != *r->plain; one = one->next->next->next) decode_levels(r, one);
    for (row *one = r->words; one; one = one->next) decode_words(r, one);
    row *levels = r->rows, *plain = *r->plain;
    esp_tensor *found = take(r, 3 * r->count, sizeof *found);
    file->tensors = found;
    for (size_t k = 0; k < r->count; k++) {
        if (r->order[2 * k] == '1') {                   /* the next plain one, or the next of levels */
            *found = plain->tensor;
            plain = plain->next;
            found += form == ESP_AS_LEVELS || strncmp(found->name, "_inputs.", 8) != 0;     /* these are no state */
            continue;
        }
        finish_levels(r, levels);
        if (form == ESP_AS_LEVELS) levels->tensor.name = joined(r, levels->tensor.name, ":levels");
        for (int part = 0; part < 3; part++, levels = levels->next)
            if (!part || form == ESP_AS_LEVELS) *found++ = levels->tensor;
    }
    file->count = (size_t)(found - file->tensors);
    return 0;
}

#ifdef ESPALIER_MAIN
#include <errno.h>

static int write_safetensors(const char *path, const esp_file *file) {
    static const char *const DTYPES[] = {"F32", "F16", "BF16", "F64", "I8", "U8", "I16", "I32", "I64", "BOOL"};
    const esp_tensor *t, *end = file->tensors + file->count;
    unsigned long long offset = 0;
    FILE *out = fopen(path, "wb");
    if (!out) return -1;
    fprintf(out, "%8s{\"__metadata__\":{\"espalier\":\"", "");     /* its length takes the place of 8 blanks at last */
    for (const char *c = file->table; *c; c++) fprintf(out, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    fprintf(out, "\"}");
    for (t = file->tensors; t < end; t++) {
        fprintf(out, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", t->name, DTYPES[t->type]);
        for (unsigned d = 0; d < t->rank; d++) fprintf(out, d ? ",%lu" : "%lu", (unsigned long)t->shape[d]);
        fprintf(out, "],\"data_offsets\":[%llu,", offset);
        fprintf(out, "%llu]}", offset += t->count * KIND_BYTES[t->type]);
    }
    for (putc('}', out); ftell(out) % 8 > 0;) putc(' ', out);
    uint64_t length = (uint64_t)ftell(out) - 8;
    for (t = file->tensors; t < end; t++) fwrite(t->values, KIND_BYTES[t->type], (size_t)t->count, out);
    int wrong = fseek(out, 0, SEEK_SET) != 0 || fwrite(&length, 8, 1, out) != 1 || ferror(out);
    wrong |= fclose(out) != 0;
    if (wrong) remove(path);
    return -wrong;
}

int main(int argc, char **argv) {
    esp_form form = ESP_AS_STATE;
    unsigned long long limit = ESP_LIMIT, room = (unsigned long long)1 << 31;
    int count = 0, code = 0;
    for (int k = 1; k < argc; k++) {
        const char *dot = strrchr(argv[k], '.');
        char *end = "";
        if (strcmp(argv[k], "--levels") == 0) form = ESP_AS_LEVELS;
        else if (strcmp(argv[k], "--limit") == 0 && k + 1 < argc) limit = strtoull(argv[++k], &end, 10);
        else if (strcmp(argv[k], "--memory") == 0 && k + 1 < argc) room = strtoull(argv[++k], &end, 10);
        else if (argv[k][0] == '-' || (count % 2 && dot && strcmp(dot, ".esp") == 0)) end = argv[k];
        else argv[count++] = argv[k];                   /* in place of what was read */
        if (*end) code = 2;
    }
    if (!count || count % 2) code = 2;
    if (code) fprintf(stderr, "usage: espalier_decode MODEL.esp OUT.safetensors ..."
                              " [--levels] [--limit BYTES] [--memory BYTES]\n");
    unsigned char *memory = code || room > SIZE_MAX ? 0 : malloc((size_t)room);
    if (!code && !memory) fprintf(stderr, "there are no %llu bytes of memory: give fewer as --memory\n", room);
    for (int k = 0; memory && k < count; k += 2) {
        esp_file file = {.error = ""};
        FILE *in = fopen(argv[k], "rb");
        ASAN_UNPOISON_MEMORY_REGION(memory, (size_t)room);
        size_t size = in ? fread(memory, 1, (size_t)room, in) : 0;
        if (!in || ferror(in)) snprintf(file.error, ESP_ERROR, "it cannot be read (%s)", strerror(errno));
        else if (esp_open(&file, memory, size, memory + size, (size_t)room - size, limit, form) == 0 &&
                 write_safetensors(argv[k + 1], &file) != 0)
            snprintf(file.error, ESP_ERROR, "%.160s cannot be written (%s)", argv[k + 1], strerror(errno));
        if (in) fclose(in);
        if (file.error[0]) fprintf(stderr, "%s: %s\n", argv[k], file.error);
        if (file.error[0]) code = 2;
    }
    free(memory);
    return memory ? code : 2;
}
#endif
