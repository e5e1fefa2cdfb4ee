/* What the search of a finished run asks of every byte or every string, as C: see native.py for what each function is.

   Each has its equal in Python (strings.py, quick.py), which is what holds; tests compare the two on the same texts.
   References in `Values` are borrowed: the documents that they are of are held by the caller, and nobody changes them. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

/* as in strings.py, distil.py and transforms.py */
#define LARGE 1000000000000000LL
#define DEPTH 100
#define SHORTEST 28
#define TOKEN_LENGTH 45
#define GROUPS 8
#define BYTE_LIST_RUN (3 * SHORTEST - 1)
#define PAIRS 8
/* fields of one object that are found by looking at each of them */
#define FEW_COLUMNS 24

enum outcome { DONE = 0, FAILED = -1, UNREADABLE = 1 };

/* --- strings, by columns ---------------------------------------------------------------------------------------- */

typedef struct {
    PyObject **items;
    Py_ssize_t n, room;
} Values;

typedef struct {
    PyObject *name;
    Values values;
} Column;

typedef struct {
    Column *items;
    Py_ssize_t n, room;
    Py_ssize_t *places; /* of the fields of the row before, in its order: columns */
    Py_ssize_t places_n, places_room;
    PyObject *numbers; /* name -> place, where there are many */
} Columns;

typedef struct {
    PyObject *names, *texts, *fields, *byte_lists, *numbers, *joined, *are_instants;
    Py_ssize_t quotes;
} Reading;

static int read_column(Reading *to, PyObject **values, Py_ssize_t n, int depth);

static int grow(void **items, Py_ssize_t *room, size_t size) {
    Py_ssize_t wanted = *room ? *room * 2 : 16;
    void *larger = PyMem_Realloc(*items, (size_t)wanted * size);
    if (larger == NULL) {
        PyErr_NoMemory();
        return FAILED;
    }
    *items = larger;
    *room = wanted;
    return DONE;
}

static int push(Values *values, PyObject *value) {
    if (values->n == values->room && grow((void **)&values->items, &values->room, sizeof(PyObject *)) < 0)
        return FAILED;
    values->items[values->n++] = value;
    return DONE;
}

static int same_text(PyObject *one, PyObject *other) {
    if (one == other)
        return 1;
    return PyUnicode_GET_LENGTH(one) == PyUnicode_GET_LENGTH(other) && PyUnicode_Compare(one, other) == 0;
}

/* A list of what is borrowed. */
static PyObject *listed(PyObject **values, Py_ssize_t n) {
    PyObject *list = PyList_New(n);
    for (Py_ssize_t at = 0; list != NULL && at < n; at++)
        PyList_SET_ITEM(list, at, Py_NewRef(values[at]));
    return list;
}

static int all_the_same(PyObject **values, Py_ssize_t n) {
    for (Py_ssize_t at = 1; at < n; at++)
        if (!PyUnicode_CheckExact(values[at]) || !same_text(values[0], values[at]))
            return 0;
    return 1;
}

static int read_texts(Reading *to, PyObject **values, Py_ssize_t n) {
    PyObject *list, *different = NULL, *one = NULL;
    int outcome = FAILED;
    to->quotes += 2 * n;
    if (all_the_same(values, n))
        return PyList_Append(to->texts, values[0]);
    if ((list = listed(values, n)) == NULL)
        return FAILED;
    if (PyUnicode_GET_LENGTH(values[0]) && Py_UNICODE_ISDIGIT(PyUnicode_READ_CHAR(values[0], 0))) {
        PyObject *said = PyObject_CallOneArg(to->are_instants, list);
        int instants = said == NULL ? -1 : PyObject_IsTrue(said);
        Py_XDECREF(said);
        if (instants) {
            Py_DECREF(list);
            return instants < 0 ? FAILED : DONE;
        }
    }
    if ((different = PySet_New(list)) != NULL && (one = PyObject_CallFunctionObjArgs(to->joined, list, different, NULL)))
        outcome = PyList_Append(to->texts, one) < 0 || PyList_Append(to->fields, one) < 0 ? FAILED : DONE;
    Py_XDECREF(one);
    Py_XDECREF(different);
    Py_DECREF(list);
    return outcome;
}

/* The place of a field's column; the column is made where there is none. Below 0: an error. */
static Py_ssize_t place_of(Columns *columns, PyObject *name) {
    PyObject *number;
    if (columns->n <= FEW_COLUMNS) {
        for (Py_ssize_t at = 0; at < columns->n; at++)
            if (same_text(columns->items[at].name, name))
                return at;
    } else {
        if (columns->numbers == NULL && (columns->numbers = PyDict_New()) == NULL)
            return FAILED;
        for (Py_ssize_t at = PyDict_GET_SIZE(columns->numbers); at < columns->n; at++) { /* those of before, too */
            int failed = (number = PyLong_FromSsize_t(at)) == NULL ||
                         PyDict_SetItem(columns->numbers, columns->items[at].name, number) < 0;
            Py_XDECREF(number);
            if (failed)
                return FAILED;
        }
        if ((number = PyDict_GetItemWithError(columns->numbers, name)) != NULL)
            return PyLong_AsSsize_t(number);
        if (PyErr_Occurred())
            return FAILED;
    }
    if (columns->n == columns->room && grow((void **)&columns->items, &columns->room, sizeof(Column)) < 0)
        return FAILED;
    columns->items[columns->n] = (Column){name, {NULL, 0, 0}};
    return columns->n++;
}

/* Put a row's values into their columns. Rows mostly have the fields of the row before, in its order. */
static int take_row(Columns *columns, PyObject *row) {
    PyObject *name, *value;
    Py_ssize_t position = 0, number = 0, place;
    for (; PyDict_Next(row, &position, &name, &value); number++) {
        if (number < columns->places_n && columns->items[columns->places[number]].name == name) {
            place = columns->places[number];
        } else {
            if ((place = place_of(columns, name)) < 0)
                return FAILED;
            if (number == columns->places_room &&
                grow((void **)&columns->places, &columns->places_room, sizeof(Py_ssize_t)) < 0)
                return FAILED;
            columns->places[number] = place;
            if (number == columns->places_n)
                columns->places_n++;
        }
        if (push(&columns->items[place].values, value) < 0)
            return FAILED;
    }
    return DONE;
}

static int read_rows(Reading *to, PyObject **rows, Py_ssize_t n, int depth) {
    Columns columns = {NULL, 0, 0, NULL, 0, 0, NULL};
    int outcome = depth > DEPTH ? UNREADABLE : DONE;
    for (Py_ssize_t at = 0; outcome == DONE && at < n; at++) {
        to->quotes += 2 * PyDict_GET_SIZE(rows[at]);
        outcome = take_row(&columns, rows[at]);
    }
    for (Py_ssize_t at = 0; outcome == DONE && at < columns.n; at++)
        outcome = PyDict_SetItem(to->names, columns.items[at].name, Py_None);
    for (Py_ssize_t at = 0; outcome == DONE && at < columns.n; at++)
        outcome = read_column(to, columns.items[at].values.items, columns.items[at].values.n, depth);
    for (Py_ssize_t at = 0; at < columns.n; at++)
        PyMem_Free(columns.items[at].values.items);
    PyMem_Free(columns.items);
    PyMem_Free(columns.places);
    Py_XDECREF(columns.numbers);
    return outcome;
}

/* 1 where a list is one of bytes, which are kept; 0 where it is another. */
static int read_bytes(Reading *to, PyObject *list) {
    Py_ssize_t n = PyList_GET_SIZE(list);
    PyObject *bytes;
    int failed;
    for (Py_ssize_t at = 0; at < n; at++) {
        PyObject *one = PyList_GET_ITEM(list, at);
        int overflow = 0;
        long number = PyLong_CheckExact(one) ? PyLong_AsLongAndOverflow(one, &overflow) : -1;
        if (number < 0 || number > 255 || overflow)
            return 0;
    }
    if (!n)
        return 0;
    if ((bytes = PyBytes_FromObject(list)) == NULL)
        return FAILED;
    failed = PyList_Append(to->byte_lists, bytes);
    Py_DECREF(bytes);
    return failed < 0 ? FAILED : 1;
}

static int read_lists(Reading *to, PyObject **values, Py_ssize_t n, int depth) {
    Values inner = {NULL, 0, 0};
    int outcome = DONE;
    for (Py_ssize_t at = 0; outcome == DONE && at < n; at++) {
        int bytes = read_bytes(to, values[at]);
        outcome = bytes < 0 ? FAILED : DONE;
        for (Py_ssize_t one = 0; outcome == DONE && !bytes && one < PyList_GET_SIZE(values[at]); one++)
            outcome = push(&inner, PyList_GET_ITEM(values[at], one));
    }
    if (outcome == DONE && inner.n)
        outcome = depth > DEPTH ? UNREADABLE : read_column(to, inner.items, inner.n, depth + 1);
    PyMem_Free(inner.items);
    return outcome;
}

/* A number is kept if it may be an id; a large float may have been an integer, of which digits are lost. */
static int read_number(Reading *to, PyObject *value) {
    if (PyFloat_CheckExact(value)) {
        double number = PyFloat_AS_DOUBLE(value);
        return number > (double)-LARGE && number < (double)LARGE ? PyList_Append(to->numbers, value) : UNREADABLE;
    }
    int overflow = 0;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    return overflow || number >= LARGE || number <= -LARGE ? PyList_Append(to->numbers, value) : DONE;
}

static int read_column(Reading *to, PyObject **values, Py_ssize_t n, int depth) {
    Values texts = {NULL, 0, 0}, rows = {NULL, 0, 0}, lists = {NULL, 0, 0};
    int outcome = DONE;
    if (PyUnicode_CheckExact(values[0]) && all_the_same(values, n)) { /* most fields do */
        to->quotes += 2 * n;
        return PyList_Append(to->texts, values[0]);
    }
    for (Py_ssize_t at = 0; outcome == DONE && at < n; at++) {
        PyObject *value = values[at];
        if (PyUnicode_CheckExact(value))
            outcome = push(&texts, value);
        else if (PyDict_CheckExact(value))
            outcome = push(&rows, value);
        else if (PyList_CheckExact(value))
            outcome = push(&lists, value);
        else if (PyLong_CheckExact(value) || PyFloat_CheckExact(value))
            outcome = read_number(to, value);
    }
    if (outcome == DONE && texts.n)
        outcome = read_texts(to, texts.items, texts.n);
    if (outcome == DONE && rows.n)
        outcome = read_rows(to, rows.items, rows.n, depth + 1);
    if (outcome == DONE && lists.n)
        outcome = read_lists(to, lists.items, lists.n, depth);
    PyMem_Free(texts.items);
    PyMem_Free(rows.items);
    PyMem_Free(lists.items);
    return outcome;
}

static PyObject *read_documents(PyObject *self, PyObject *args) {
    PyObject *documents;
    Reading to = {0};
    int outcome;
    if (!PyArg_ParseTuple(args, "O!O!O!O!O!O!OO", &PyList_Type, &documents, &PyDict_Type, &to.names, &PyList_Type,
                          &to.texts, &PyList_Type, &to.fields, &PyList_Type, &to.byte_lists, &PyList_Type, &to.numbers,
                          &to.joined, &to.are_instants))
        return NULL;
    if (!PyList_GET_SIZE(documents)) {
        PyErr_SetString(PyExc_IndexError, "there is no document");
        return NULL;
    }
    outcome = read_column(&to, ((PyListObject *)documents)->ob_item, PyList_GET_SIZE(documents), 0);
    return outcome == FAILED ? NULL : PyLong_FromSsize_t(outcome == UNREADABLE ? -1 : to.quotes);
}

/* --- bytes ------------------------------------------------------------------------------------------------------ */

static unsigned char is_token[256], is_listed[256], is_letter[256], is_sign[256], pair_kind[256], base64_places[256],
    is_hex[256], is_rot_hex[256], is_hex_first[256];

static int one_of(int byte, const char *members) { return byte && strchr(members, byte) != NULL; }

static int value_in_base64(int letter) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const char *found = letter ? strchr(alphabet, letter) : NULL;
    return found == NULL ? -1 : (int)(found - alphabet);
}

static int rot13(int letter) {
    if ((letter >= 'A' && letter <= 'M') || (letter >= 'a' && letter <= 'm'))
        return letter + 13;
    return (letter >= 'N' && letter <= 'Z') || (letter >= 'n' && letter <= 'z') ? letter - 13 : letter;
}

static int places_in_base64(int letter) {
    int value = value_in_base64(letter);
    return value < 0 ? 0 : (value < 32) | (value % 16 < 8) << 1 | (value % 4 < 2) << 2;
}

static void make_tables(void) {
    for (int byte = 0; byte < 128; byte++) {
        is_letter[byte] = value_in_base64(byte) >= 0;
        is_token[byte] = is_letter[byte] || one_of(byte, "+/_-");
        is_listed[byte] = one_of(byte, "0123456789 ,;\t\n\r\x0b\x0c");
        is_sign[byte] = one_of(byte, "\\%&=\x01");
        is_hex[byte] = one_of(byte, "0123456789abcdefABCDEF");
        is_rot_hex[byte] = one_of(byte, "0123456789nopqrsNOPQRS");
        is_hex_first[byte] = one_of(byte, "0234567");
        pair_kind[byte] = is_hex[byte] || is_rot_hex[byte] ? 1 : is_letter[byte] ? 2 : 0;
        base64_places[byte] =
            is_letter[byte] ? (unsigned char)(places_in_base64(byte) | places_in_base64(rot13(byte)) << 4) : 0;
    }
}

/* Groups of four letters in a row that may begin three bytes each, of the four ways to cut; plain and in rot13. */
typedef struct {
    int runs[4][2];
} Groups;

static int add_group(Groups *groups, Py_ssize_t at, int first, int second, int third) {
    int both = first & second >> 1 & third >> 2, *runs = groups->runs[at & 3];
    runs[0] = both & 1 ? runs[0] + 1 : 0;
    runs[1] = both & 16 ? runs[1] + 1 : 0;
    return runs[0] >= GROUPS || runs[1] >= GROUPS;
}

/* Digits in a row, at even and at odd places, of which each may be the first of a letter's two. */
typedef struct {
    int runs[2];
    Py_ssize_t n;
} Digits;

static int add_digit(Digits *digits, int is_first) {
    int *run = &digits->runs[digits->n++ & 1];
    *run = is_first ? *run + 1 : 0;
    return *run >= SHORTEST;
}

/* Words of two digits in a row, with one sign between any two. */
typedef struct {
    int words, length, hex_in_a_row, all_hex;
} Pairs;

static int add_to_pairs(Pairs *pairs, int kind) {
    if (kind) {
        pairs->length++;
        pairs->hex_in_a_row = kind == 1 ? pairs->hex_in_a_row + 1 : 0;
        pairs->all_hex &= kind == 1;
        return 0;
    }
    if (pairs->length == 2 && pairs->all_hex)
        pairs->words++;
    else
        pairs->words = pairs->hex_in_a_row >= 2; /* a longer word may end in the first pair */
    pairs->length = pairs->hex_in_a_row = 0;
    pairs->all_hex = 1;
    return pairs->words >= PAIRS - 1;
}

static int surely_closed(const unsigned char *view, Py_ssize_t size) {
    Groups forward = {0}, backward = {0};
    Digits plain = {0}, rotated = {0};
    Pairs pairs = {0, 0, 0, 1};
    Py_ssize_t token = 0, listed = 0, letters = 0, firsts = 0, zeros = 0, exes = 0, kays = 0;
    int hexadecimal = 0, last = 0, before_last = 0, previous = 0;
    for (Py_ssize_t at = 0; at < size; previous = view[at++]) {
        int byte = view[at];
        if (byte >= 128 || is_sign[byte])
            return 0;
        if (byte != '\n' && byte != '\r' && (token = is_token[byte] ? token + 1 : 0) >= TOKEN_LENGTH)
            return 0;
        if ((listed = is_listed[byte] ? listed + 1 : 0) >= BYTE_LIST_RUN || add_to_pairs(&pairs, pair_kind[byte]))
            return 0;
        if (previous == '0')
            hexadecimal |= byte == 'x' || byte == 'X' || byte == 'k' || byte == 'K';
        else if (byte == '0')
            hexadecimal |= previous == 'x' || previous == 'X';
        if (!is_letter[byte])
            continue;
        int places = base64_places[byte];
        if (letters >= 2 && (add_group(&forward, letters - 2, before_last, last, places) ||
                             add_group(&backward, letters, places, last, before_last)))
            return 0;
        before_last = last;
        last = places;
        letters++;
        firsts += is_hex_first[byte];
        zeros += byte == '0';
        exes += byte == 'x';
        kays += byte == 'k';
        if (is_hex[byte])
            hexadecimal |= add_digit(&plain, is_hex_first[byte]);
        if (is_rot_hex[byte])
            hexadecimal |= add_digit(&rotated, is_hex_first[byte]);
    }
    hexadecimal |= zeros >= SHORTEST && (exes >= SHORTEST || kays >= SHORTEST);
    return !(firsts >= SHORTEST && hexadecimal);
}

static PyObject *is_surely_closed(PyObject *self, PyObject *view) {
    if (!PyBytes_CheckExact(view)) {
        PyErr_SetString(PyExc_TypeError, "expected bytes");
        return NULL;
    }
    return PyBool_FromLong(surely_closed((unsigned char *)PyBytes_AS_STRING(view), PyBytes_GET_SIZE(view)));
}

/* 1 where a word is in neither set and was put into `unknown`. */
static int note_word(PyObject *unknown, const char *word, Py_ssize_t size, PyObject *one, PyObject *other) {
    PyObject *letters = PyBytes_FromStringAndSize(word, size);
    int is_there = letters == NULL ? FAILED : PySet_Contains(one, letters);
    if (!is_there)
        is_there = PySet_Contains(other, letters);
    if (!is_there)
        is_there = PySet_Add(unknown, letters);
    Py_XDECREF(letters);
    return is_there;
}

static PyObject *unknown_words(PyObject *self, PyObject *args) {
    const char *text;
    Py_ssize_t size, shortest, begin = 0;
    PyObject *one, *other, *unknown;
    if (!PyArg_ParseTuple(args, "y#nO!O!", &text, &size, &shortest, &PySet_Type, &one, &PySet_Type, &other))
        return NULL;
    unknown = PySet_New(NULL);
    for (Py_ssize_t at = 0; unknown != NULL && at <= size; at++) {
        if (at < size && is_token[(unsigned char)text[at]])
            continue;
        if (at - begin >= shortest && note_word(unknown, text + begin, at - begin, one, other) < 0)
            Py_CLEAR(unknown);
        begin = at + 1;
    }
    return unknown;
}

static PyMethodDef functions[] = {
    {"read_documents", read_documents, METH_VARARGS, NULL},
    {"is_surely_closed", is_surely_closed, METH_O, NULL},
    {"unknown_words", unknown_words, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "crosstalk.checks.fast", .m_size = -1, .m_methods = functions,
};

PyMODINIT_FUNC PyInit_fast(void) {
    make_tables();
    return PyModule_Create(&module);
}
