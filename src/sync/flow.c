/* SPDX-License-Identifier: MIT */
#include "flow.h"

void flow_line(struct flow *flow, int64_t now_ms)
{
    flow->owed_ms = now_ms;
}

void flow_answer(struct flow *flow, bool is_body, int64_t now_ms)
{
    if (flow->is_in_answer)
        return;
    *flow = (struct flow){.owed_ms = now_ms,
                          .is_in_answer = true,
                          .is_in_body = is_body,
                          .from_ms = now_ms,
                          .begun_ms = now_ms,
                          .sample_ms = now_ms};
}

void flow_answer_end(struct flow *flow, int64_t now_ms)
{
    *flow = (struct flow){.owed_ms = now_ms};
}

void flow_octets(struct flow *flow, size_t octets, int64_t now_ms)
{
    if (!flow->is_in_answer)
        return;
    flow->octets += octets;
    if (flow->octets >= FLOW_OCTETS) {
        flow->octets = 0;
        flow->from_ms = now_ms;
    }
    int64_t passed_ms = now_ms - flow->sample_ms;
    if (passed_ms >= FLOW_SAMPLE_MS) {
        flow->rate = flow->sampled * 1000 / (uint64_t)passed_ms;
        flow->rate_is_known = true;
        flow->sample_ms = now_ms;
        flow->sampled = 0;
    }
    flow->sampled += octets;
}

int64_t flow_line_by_ms(const struct flow *flow, int64_t patience_ms)
{
    return flow->is_in_body ? INT64_MAX : flow->owed_ms + patience_ms;
}

int64_t flow_answer_by_ms(const struct flow *flow, int64_t timeout_ms)
{
    if (!flow->is_in_answer)
        return INT64_MAX;
    return flow->from_ms + (timeout_ms > FLOW_MS ? timeout_ms : FLOW_MS);
}

/* Of the sample that is being taken, where it has lasted as long as one, else of the last one. */
static bool rate_of(const struct flow *flow, int64_t now_ms, uint64_t *ret_rate)
{
    int64_t passed_ms = now_ms - flow->sample_ms;
    if (passed_ms < FLOW_SAMPLE_MS) {
        *ret_rate = flow->rate;
        return flow->rate_is_known;
    }
    *ret_rate = flow->sampled * 1000 / (uint64_t)passed_ms;
    return true;
}

bool flow_is_slow(const struct flow *flow, int64_t now_ms)
{
    uint64_t rate;
    return flow->is_in_answer && rate_of(flow, now_ms, &rate) && rate < FLOW_SLOW_OCTETS;
}

int64_t flow_rest_ms(const struct flow *flow, uint64_t octets, int64_t now_ms)
{
    uint64_t rate;
    if (!rate_of(flow, now_ms, &rate) || octets == 0)
        return 0;
    return rate == 0 || octets / rate > INT64_MAX / 2000 ? INT64_MAX
                                                         : (int64_t)(octets / rate * 1000);
}
