/* SPDX-License-Identifier: MIT */
/* SipHash-2-4 (Aumasson, Bernstein) with a key of this process, for tables in memory. */
#include "popfs/base.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash_key[2];
/* Not call_once(): ThreadSanitizer does not know what that orders. */
static pthread_once_t hash_key_drawn = PTHREAD_ONCE_INIT;

static void hash_key_draw(void)
{
    /* Without chance a fixed key will do. */
    if (!chance_draw(hash_key, sizeof(hash_key)))
        hash_key[0] = 0x706f706673;
}

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
}

uint64_t hash_bytes(struct slice bytes)
{
    pthread_once(&hash_key_drawn, hash_key_draw);
    uint64_t v[4] = {hash_key[0] ^ 0x736f6d6570736575, hash_key[1] ^ 0x646f72616e646f6d,
                     hash_key[0] ^ 0x6c7967656e657261, hash_key[1] ^ 0x7465646279746573};
    size_t at = 0;
    for (; at + 8 <= bytes.len; at += 8) {
        uint64_t word;
        memcpy(&word, bytes.data + at, 8);
        sip_word(v, word);
    }
    uint64_t last = (uint64_t)bytes.len << 56;
    if (at < bytes.len)
        memcpy(&last, bytes.data + at, bytes.len - at);
    sip_word(v, last);
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
