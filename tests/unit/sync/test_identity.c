/* SPDX-License-Identifier: MIT */
/* What a header says about the identity of a message, case by case. */
#include "evidence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define READ .is_read = true
#define KNOWN READ, .is_known = true
#define EQUAL KNOWN, .is_equal = true
#define TOP .has_top = true
#define RETR .by_retr = true

static void an_answer_proves_what_its_header_says(void **state)
{
    static const struct {
        struct evidence_view view;
        enum evidence_verdict verdict;
    } cases[] = {
        {{TOP}, EVIDENCE_SAYS_NOTHING},
        {{RETR}, EVIDENCE_SAYS_NOTHING},
        /* TOP ended within the header of what may be another message; a body says no more. */
        {{TOP, .is_known = true}, EVIDENCE_ASK_RETR},
        {{TOP, .is_known = true, .is_proven = true}, EVIDENCE_SAYS_NOTHING},
        {{.is_known = true}, EVIDENCE_SAYS_NOTHING},
        {{TOP, RETR, .is_known = true}, EVIDENCE_SAYS_NOTHING},
        {{RETR, .is_known = true}, EVIDENCE_SAYS_NOTHING},
        {{TOP, READ}, EVIDENCE_IS_NEW},
        {{RETR, READ}, EVIDENCE_IS_NEW},
        {{TOP, RETR, READ}, EVIDENCE_IS_NEW},
        {{TOP, READ, .is_wished_before = true}, EVIDENCE_SAYS_NOTHING},
        {{RETR, READ, .is_wished_before = true}, EVIDENCE_SAYS_NOTHING},
        {{TOP, EQUAL, .is_wished_before = true}, EVIDENCE_IS_SAME},
        {{TOP, EQUAL}, EVIDENCE_IS_SAME},
        {{TOP, RETR, EQUAL}, EVIDENCE_IS_SAME},
        {{RETR, EQUAL, .is_proven = true}, EVIDENCE_IS_SAME},
        /* TOP of an account where it differs from RETR proves nothing. */
        {{READ}, EVIDENCE_SAYS_NOTHING},
        {{EQUAL}, EVIDENCE_SAYS_NOTHING},
        {{KNOWN}, EVIDENCE_SAYS_NOTHING},
        /* Another header than in an earlier session. */
        {{TOP, KNOWN}, EVIDENCE_ASK_ONCE},
        {{TOP, KNOWN, .came_alone = true}, EVIDENCE_IS_ANOTHER},
        {{TOP, KNOWN, .is_caught = true}, EVIDENCE_IS_ANOTHER},
        {{TOP, RETR, KNOWN}, EVIDENCE_ASK_TOP},
        {{TOP, RETR, KNOWN, .came_alone = true, .is_caught = true}, EVIDENCE_ASK_TOP},
        {{TOP, KNOWN, .known_by_retr = true, .came_alone = true}, EVIDENCE_ASK_RETR},
        {{TOP, RETR, KNOWN, .known_by_retr = true}, EVIDENCE_ASK_ONCE},
        {{TOP, RETR, KNOWN, .known_by_retr = true, .came_alone = true}, EVIDENCE_IS_ANOTHER},
        {{TOP, RETR, KNOWN, .known_by_retr = true, .is_caught = true}, EVIDENCE_IS_ANOTHER},
        {{RETR, KNOWN}, EVIDENCE_ASK_ONCE},
        {{RETR, KNOWN, .came_alone = true}, EVIDENCE_IS_ANOTHER},
        {{RETR, KNOWN, .is_caught = true}, EVIDENCE_IS_ANOTHER},
        /* A removal that TOP alone can prove: where TOP is refused nothing is proven. */
        {{RETR, KNOWN, .is_wished_before = true}, EVIDENCE_SAYS_NOTHING},
        {{RETR, KNOWN, .is_wished_before = true, .came_alone = true, .is_caught = true},
         EVIDENCE_SAYS_NOTHING},
        {{TOP, RETR, KNOWN, .is_wished_before = true, .came_alone = true}, EVIDENCE_ASK_TOP},
        {{TOP, KNOWN, .is_wished_before = true, .came_alone = true}, EVIDENCE_IS_ANOTHER},
        {{RETR, KNOWN, .known_by_retr = true, .is_wished_before = true, .came_alone = true},
         EVIDENCE_IS_ANOTHER},
        /* Another one than in this session: RETR wins over TOP. */
        {{TOP, KNOWN, .is_proven = true, .is_caught = true}, EVIDENCE_SAYS_NOTHING},
        {{TOP, RETR, KNOWN, .is_proven = true, .is_caught = true}, EVIDENCE_ASK_ONCE},
        {{TOP, RETR, KNOWN, .is_proven = true, .came_alone = true}, EVIDENCE_ASK_ONCE},
        {{TOP, RETR, KNOWN, .is_proven = true, .came_alone = true, .came_alone_before = true},
         EVIDENCE_TOP_IS_NONE},
        {{RETR, KNOWN, .is_proven = true}, EVIDENCE_IS_NEW},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(evidence_judge(&cases[i].view), cases[i].verdict);
}

static void a_removal_of_another_session_needs_proof(void **state)
{
    static const struct {
        struct evidence_removal removal;
        enum evidence_need need;
    } cases[] = {
        {{.is_wished_here = true}, EVIDENCE_NOT_NEEDED},
        {{.is_wished_here = true, .is_known = true}, EVIDENCE_NOT_NEEDED},
        {{.is_wished_here = true, .is_doubted = true}, EVIDENCE_NOT_NEEDED},
        {{.is_wished_here = true, .is_doubted = true, .is_known = true}, EVIDENCE_NEEDED},
        {{.is_known = true}, EVIDENCE_NEEDED},
        {{.is_known = true, .is_doubted = true}, EVIDENCE_NEEDED},
        {{.is_known = true, .is_proven = true}, EVIDENCE_NOT_NEEDED},
        {{.is_known = false}, EVIDENCE_MISSING},
        {{.is_doubted = true}, EVIDENCE_MISSING},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(evidence_of_removal(&cases[i].removal), cases[i].need);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_proves_what_its_header_says),
        cmocka_unit_test(a_removal_of_another_session_needs_proof),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
