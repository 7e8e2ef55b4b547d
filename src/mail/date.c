/* SPDX-License-Identifier: MIT */
/*
 * The words and numbers of a date are taken as they come, because mail programs order and separate
 * them in every way. GMime reads fewer forms, and takes what it does not know for nothing: 10.00.00
 * for midnight, +02:00 for UTC.
 */
#include "date.h"

#include "popfs/mail.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

enum { NUMBERS_MAX = 3, DIGITS_MAX = 14, ZONE_UNKNOWN = INT32_MAX, MINUTES_PER_DAY = 1440 };

struct number {
    int value;
    int digits;
    char before; /* the octet in front of it: '.' or '/' tell how a date of numbers is ordered */
};

struct date {
    struct number numbers[NUMBERS_MAX]; /* day, month and year, in the order of the text */
    size_t number_count;
    int month; /* 1 to 12 if it has a name, else 0 */
    bool has_time;
    int hour, minute, second;
    bool is_am, is_pm;
    int named_zone_min; /* or ZONE_UNKNOWN; east of Greenwich is positive */
    int zone_min;       /* from digits: it counts before a name */
};

struct zone {
    char name[5];
    int minutes;
};

/* Those of RFC 5322, and those of Europe and the far east that mean one zone only. */
static const struct zone zones[] = {
    {"UT", 0},     {"UTC", 0},    {"GMT", 0},    {"EST", -300}, {"EDT", -240}, {"CST", -360},
    {"CDT", -300}, {"MST", -420}, {"MDT", -360}, {"PST", -480}, {"PDT", -420}, {"WET", 0},
    {"WEST", 60},  {"CET", 60},   {"MET", 60},   {"MEZ", 60},   {"CEST", 120}, {"MEST", 120},
    {"MESZ", 120}, {"EET", 120},  {"EEST", 180}, {"MSK", 180},  {"JST", 540},  {"KST", 540},
};

static const char *const months[] = {"january",   "february", "march",    "april",
                                     "may",       "june",     "july",     "august",
                                     "september", "october",  "november", "december"};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool has_date(const struct date *date)
{
    return date->number_count + (date->month != 0) >= NUMBERS_MAX;
}

/* The letters of the army: A to M without J lie east, N to Y west. */
static int zone_of_letter(char letter)
{
    char c = (char)(letter & ~0x20);
    if (c >= 'A' && c <= 'I')
        return (c - 'A' + 1) * 60;
    if (c >= 'K' && c <= 'M')
        return (c - 'K' + 10) * 60;
    if (c >= 'N' && c <= 'Y')
        return -(c - 'N' + 1) * 60;
    return c == 'Z' ? 0 : ZONE_UNKNOWN;
}

static int zone_of_name(const char *word, size_t len)
{
    if (len == 1)
        return zone_of_letter(word[0]);
    for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++)
        if (strlen(zones[i].name) == len && strncasecmp(zones[i].name, word, len) == 0)
            return zones[i].minutes;
    return ZONE_UNKNOWN;
}

static int month_of_name(const char *word, size_t len)
{
    for (int i = 0; i < 12; i++)
        if ((len == 3 || len == strlen(months[i]) || (len == 4 && i == 8)) &&
            strncasecmp(months[i], word, len) == 0)
            return i + 1;
    return 0;
}

static void read_word(struct date *date, const char *word, size_t len)
{
    int month = month_of_name(word, len);
    if (month != 0) {
        if (date->month == 0)
            date->month = month;
    } else if (len == 2 && strncasecmp(word, "am", 2) == 0) {
        date->is_am = date->has_time;
    } else if (len == 2 && strncasecmp(word, "pm", 2) == 0) {
        date->is_pm = date->has_time;
    } else if (date->has_time && date->named_zone_min == ZONE_UNKNOWN) {
        date->named_zone_min = zone_of_name(word, len);
    }
}

/* At most `most` digits; the rest of a longer run is passed over. Returns how many there were. */
static int read_digits(const char **text, int most, int64_t *ret_value)
{
    int count = 0;
    int64_t value = 0;
    for (; is_digit(**text); (*text)++, count++)
        if (count < most)
            value = value * 10 + (**text - '0');
    *ret_value = value;
    return count;
}

/* :MM, :SS and a fraction, behind the hour. False if what the numbers say is no time. */
static bool read_time(struct date *date, int64_t hour, const char **text)
{
    char separator = **text;
    int64_t minute = 0;
    int64_t second = 0;
    int64_t fraction;
    (*text)++;
    bool fits = read_digits(text, 3, &minute) <= 2;
    if (**text == separator && is_digit((*text)[1])) {
        (*text)++;
        fits = read_digits(text, 3, &second) <= 2 && fits;
    }
    if ((**text == '.' || **text == ',') && is_digit((*text)[1])) {
        (*text)++;
        (void)read_digits(text, 1, &fraction);
    }
    if (date->has_time)
        return true;
    date->has_time = true;
    date->hour = (int)hour;
    date->minute = (int)minute;
    date->second = (int)second;
    return fits;
}

/* HHMM or HHMMSS. */
static void take_time(struct date *date, int64_t value, int digits)
{
    date->has_time = true;
    date->second = digits == 6 ? (int)(value % 100) : 0;
    value = digits == 6 ? value / 100 : value;
    date->minute = (int)(value % 100);
    date->hour = (int)(value / 100);
}

static void take_number(struct date *date, int64_t value, int digits, char before)
{
    if (date->number_count < NUMBERS_MAX && digits <= 4)
        date->numbers[date->number_count++] = (struct number){(int)value, digits, before};
}

/* YYYYMMDD, and HHMMSS behind it. */
static void take_compact(struct date *date, int64_t value, int digits)
{
    if (digits == DIGITS_MAX) {
        take_time(date, value % 1000000, 6);
        value /= 1000000;
    }
    take_number(date, value / 10000, 4, '-');
    take_number(date, value / 100 % 100, 2, '-');
    take_number(date, value % 100, 2, '-');
}

/* False if it is a time of day that cannot be. */
static bool read_number(struct date *date, char before, const char **text)
{
    int64_t value;
    int digits = read_digits(text, DIGITS_MAX, &value);
    bool is_dotted = **text == '.' && has_date(date) && !date->has_time;
    if (digits <= 2 && (**text == ':' || is_dotted) && is_digit((*text)[1]))
        return read_time(date, value, text);
    if (!has_date(date) && date->number_count == 0 && (digits == 8 || digits == DIGITS_MAX))
        take_compact(date, value, digits);
    else if (has_date(date) && !date->has_time && (digits == 4 || digits == 6))
        take_time(date, value, digits);
    else if (!has_date(date))
        take_number(date, value, digits, before);
    return true;
}

/* +HHMM, +HH:MM, +HMM, +HH or +H. Anything else is no zone. */
static void read_zone(struct date *date, const char **text)
{
    int sign = **text == '-' ? -1 : 1;
    (*text)++;
    while (**text == ' ')
        (*text)++;
    int64_t value;
    int64_t minutes = 0;
    int digits = read_digits(text, 5, &value);
    bool has_colon = digits <= 2 && digits > 0 && **text == ':' && is_digit((*text)[1]);
    if (has_colon) {
        (*text)++;
        (void)read_digits(text, 5, &minutes);
    } else if (digits > 2) {
        minutes = value % 100;
        value /= 100;
    }
    if (date->zone_min == ZONE_UNKNOWN && digits > 0 && digits <= 4 && minutes < 60 && value < 24)
        date->zone_min = sign * (int)(value * 60 + minutes);
}

/* Behind a comment, which may hold others. */
static const char *skip_comment(const char *text)
{
    int depth = 0;
    for (; *text != '\0'; text++) {
        if (*text == '(')
            depth++;
        else if (*text == ')' && --depth == 0)
            return text + 1;
        else if (*text == '\\' && text[1] != '\0')
            text++;
    }
    return text;
}

static bool read_parts(struct date *date, const char *text)
{
    char before = ' ';
    while (*text != '\0') {
        const char *start = text;
        if (*text == '(') {
            text = skip_comment(text);
        } else if (is_digit(*text)) {
            if (!read_number(date, before, &text))
                return false;
        } else if (is_letter(*text)) {
            while (is_letter(*text))
                text++;
            read_word(date, start, (size_t)(text - start));
        } else if (date->has_time && (*text == '+' || *text == '-')) {
            read_zone(date, &text);
        } else {
            text++;
        }
        before = text[-1];
    }
    return true;
}

/* RFC 5322, 4.3: two digits are 1950 to 2049, three count from 1900. -1: no year. */
static int year_of(const struct number *number)
{
    switch (number->digits) {
    case 4:
        return number->value;
    case 3:
        return number->value + 1900;
    case 2:
        return number->value + (number->value < 50 ? 2000 : 1900);
    default:
        return -1;
    }
}

struct day {
    int year, month, day;
};

static struct day day_of(const struct date *date)
{
    const struct number *n = date->numbers;
    bool year_first = n[0].digits > 2;
    if (date->month != 0)
        return (struct day){year_of(&n[year_first ? 0 : 1]), date->month, n[year_first].value};
    if (year_first)
        return (struct day){year_of(&n[0]), n[1].value, n[2].value};
    /* Americans write the month first, and a slash; with dots the day is first. */
    bool month_first = n[1].before != '.' && n[0].value <= 12;
    return (struct day){year_of(&n[2]), n[month_first ? 0 : 1].value, n[month_first].value};
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static bool day_exists(struct day day)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (day.year < 0 || day.month < 1 || day.month > 12 || day.day < 1)
        return false;
    return day.day <= lengths[day.month - 1] + (day.month == 2 && is_leap(day.year));
}

/* Days of the epoch. The year begins in March here, so that the leap day is its last. */
static int64_t days_of(struct day day)
{
    int64_t year = day.month > 2 ? day.year : day.year - 1;
    int64_t month = day.month > 2 ? day.month - 3 : day.month + 9;
    int64_t since_march = (153 * month + 2) / 5 + day.day - 1;
    return year * 365 + year / 4 - year / 100 + year / 400 + since_march - 719468;
}

/* A second 60 is the leap second: the next minute begins with it. 24:00 ends the day. */
static bool time_exists(const struct date *date)
{
    bool ends_day = date->hour == 24 && date->minute == 0 && date->second == 0;
    return (date->hour < 24 || ends_day) && date->minute < 60 && date->second <= 60;
}

bool date_parse(const char *text, int64_t *ret_seconds)
{
    struct date date = {.named_zone_min = ZONE_UNKNOWN, .zone_min = ZONE_UNKNOWN};
    if (!read_parts(&date, text) || !has_date(&date) || !time_exists(&date))
        return false;
    if (date.is_pm && date.hour < 12)
        date.hour += 12;
    if (date.is_am && date.hour == 12)
        date.hour = 0;
    int zone_min = date.zone_min != ZONE_UNKNOWN ? date.zone_min : date.named_zone_min;
    if (zone_min == ZONE_UNKNOWN)
        zone_min = 0;
    struct day day = day_of(&date);
    if (!day_exists(day))
        return false;
    int64_t minutes = days_of(day) * MINUTES_PER_DAY + date.hour * 60 + date.minute - zone_min;
    int64_t seconds = minutes * 60 + date.second;
    if (seconds < MAIL_TIME_MIN_S || seconds > MAIL_TIME_MAX_S)
        return false;
    *ret_seconds = seconds;
    return true;
}
