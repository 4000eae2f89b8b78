import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { pythonLock, repositoryRoot } from '../../templates/locked-packages.ts'
import { sharedInterpreter } from './interpreter.ts'

const sandbox = sharedInterpreter()

async function textOf(code: string): Promise<string | undefined> {
  const { error, text, logs } = await sandbox().runCode(code, { timeoutMs: 150_000 })
  expect(error?.traceback).toBeUndefined()
  expect(logs.stderr.join('')).toBe('')
  return text
}

/** The first example of each package's documentation, as far as it needs no network, and its result. */
const FIRST_STEPS: [name: string, code: string, expected: string][] = [
  ['aiohttp', 'import aiohttp\nasync with aiohttp.ClientSession() as s: pass\ns.closed', 'True'],
  ['beautifulsoup4', 'from bs4 import BeautifulSoup\nBeautifulSoup("<b>x</b>", "html.parser").b.string', 'x'],
  ['bokeh', 'from bokeh.plotting import figure\np = figure(); p.line([1, 2], [3, 4]); len(p.renderers)', '1'],
  ['e2b-charts', 'import e2b_charts\ncallable(e2b_charts.chart_figure_to_dict)', 'True'],
  [
    'gensim',
    'from gensim.test.utils import common_texts\nfrom gensim.models import Word2Vec\nWord2Vec(common_texts, vector_size=10, min_count=1).wv["computer"].shape',
    '(10,)',
  ],
  [
    'imageio',
    'import imageio.v3 as iio, numpy as np\niio.imwrite("/tmp/i.png", np.zeros((4, 5, 3), np.uint8)); iio.imread("/tmp/i.png").shape',
    '(4, 5, 3)',
  ],
  [
    'joblib',
    'from joblib import Parallel, delayed\nParallel(n_jobs=1)(delayed(abs)(i) for i in (-1, -2))',
    '[1, 2]',
  ],
  [
    'jupyter-server',
    'import jupyter_server.serverapp\njupyter_server.serverapp.ServerApp.__name__',
    'ServerApp',
  ],
  [
    'librosa',
    // tqdm warns that there are no widgets; numba compiles a function at its first call
    'import warnings; warnings.simplefilter("ignore")\nimport librosa, numpy as np\nlibrosa.feature.mfcc(y=librosa.tone(440, sr=22050, duration=0.5), sr=22050).shape[0]',
    '20',
  ],
  ['lxml', 'from lxml import etree\netree.fromstring("<a><b/></a>")[0].tag', 'b'],
  ['nbformat', 'import nbformat\nnbformat.v4.new_notebook().nbformat', '4'],
  ['networkx', 'import networkx as nx\nnx.shortest_path(nx.path_graph(3), 0, 2)', '[0, 1, 2]'],
  ['nltk', 'from nltk.stem import PorterStemmer\nPorterStemmer().stem("running")', 'run'],
  [
    'numba',
    'import numba\n@numba.jit(nopython=True)\ndef f(n):\n    s = 0\n    for i in range(n): s += i\n    return s\nf(10)',
    '45',
  ],
  [
    'numpy',
    'import warnings, numpy as np\nwith warnings.catch_warnings(action="ignore"): area = np.trapz([1, 2, 3])\nfloat(area)',
    '4.0',
  ],
  [
    'opencv-python',
    'import cv2, numpy as np\ncv2.cvtColor(np.zeros((2, 3, 3), np.uint8), cv2.COLOR_BGR2GRAY).shape',
    '(2, 3)',
  ],
  [
    'openpyxl',
    'import openpyxl\nb = openpyxl.Workbook(); b.active["A1"] = 42; b.save("/tmp/x.xlsx"); openpyxl.load_workbook("/tmp/x.xlsx").active["A1"].value',
    '42',
  ],
  ['orjson', 'import orjson\norjson.dumps({"a": 1})', `b'{"a":1}'`],
  ['pandas', 'import pandas as pd\nfloat(pd.Series([1, None, 3]).fillna(0).sum())', '4.0'],
  [
    'python-docx',
    'import docx\nd = docx.Document(); d.add_heading("T"); d.save("/tmp/d.docx"); docx.Document("/tmp/d.docx").paragraphs[0].text',
    'T',
  ],
  ['pytz', 'import pytz\npytz.timezone("Europe/Paris").zone', 'Europe/Paris'],
  ['requests', 'import requests\nrequests.Request("GET", "http://x/").prepare().url', 'http://x/'],
  ['scikit-image', 'from skimage import data, filters\nfilters.sobel(data.camera()).shape', '(512, 512)'],
  [
    'scikit-learn',
    'from sklearn.ensemble import RandomForestClassifier\nRandomForestClassifier(random_state=0).fit([[1, 2, 3], [11, 12, 13]], [0, 1]).predict([[1, 2, 3]]).tolist()',
    '[0]',
  ],
  ['scipy', 'from scipy import integrate\nround(integrate.quad(lambda x: x**2, 0, 3)[0], 6)', '9.0'],
  [
    'soundfile',
    'import soundfile as sf, numpy as np\nsf.write("/tmp/s.wav", np.zeros(800), 8000); sf.read("/tmp/s.wav")[1]',
    '8000',
  ],
  ['spacy', 'import spacy\n[t.text for t in spacy.blank("en")("Hello, world")]', "['Hello', ',', 'world']"],
  ['sympy', 'from sympy import *\nx = symbols("x"); str(integrate(2 * x, x))', 'x**2'],
  ['textblob', 'from textblob import TextBlob\nTextBlob("great").sentiment.polarity', '0.8'],
  ['tornado', 'import tornado.web\ntornado.web.Application([]).default_router is not None', 'True'],
  ['urllib3', 'import urllib3\nurllib3.util.parse_url("http://x:1/").port', '1'],
  ['xarray', 'import xarray as xr\nxr.DataArray([1, 2, 3], dims="x").sum().item()', '6'],
]

describe('packages that programs take for granted', () => {
  test('have the versions of requirements.txt', async () => {
    const wanted = readFileSync(join(repositoryRoot, pythonLock.folder, pythonLock.files[0][0]), 'utf8')
      .split('\n')
      .filter((line) => /^\w/.test(line))
    const code = `from importlib.metadata import version\n{n: version(n) for n in ${JSON.stringify(wanted.map((line) => line.split('==')[0]))}}`
    const { results } = await sandbox().runCode(code)
    expect(Object.entries(results[0]!.json ?? {}).map(([name, version]) => `${name}==${version}`)).toEqual(
      wanted,
    )
  })

  test.each(FIRST_STEPS)('%s does what its documentation shows first', async (_, code, expected) => {
    expect(await textOf(code)).toBe(expected)
  })

  test('pytest, xlrd, kaleido and seaborn are there', async () => {
    expect(await textOf('import pytest, xlrd, kaleido, seaborn, PIL; pytest.__version__')).toBe('9.0.3')
  })

  test('code for pandas 2 runs: old aliases, fill methods, objects for strings, chained assignment', async () => {
    const { results, error } = await sandbox().runCode(
      [
        'import io, warnings, pandas as pd; warnings.simplefilter("ignore")',
        'monthly = pd.Series(1, pd.date_range("2024-01-01", periods=60)).resample("M").sum().tolist()',
        'filled = pd.Series([1, None]).fillna(method="ffill").tolist()',
        'mapped = pd.DataFrame({"a": [1]}).applymap(str)["a"].tolist()',
        'read = pd.read_csv(io.StringIO("a b\\n1 2"), delim_whitespace=True).columns.tolist()',
        'chained = pd.DataFrame({"a": [1, 2]}); chained["a"][0] = 9',
        '[monthly, filled, mapped, read, int(chained["a"][0]), str(pd.Series(["x"]).dtype)]',
      ].join('\n'),
    )
    expect(error).toBeUndefined()
    expect(results[0]!.json).toEqual([[31, 29], [1, 1], ['1'], ['a', 'b'], 9, 'object'])
  })

  test('a plotly figure is a result with HTML', async () => {
    const { results, error } = await sandbox().runCode(
      'import plotly.express as px\npx.bar(x=["a"], y=[1]).show()',
    )
    expect(error).toBeUndefined()
    expect(results[0]!.html ?? results[0]!.extra?.['application/vnd.plotly.v1+json']).toBeDefined()
  })

  test('a picture of a plotly figure needs Chrome, and the error says so', async () => {
    const { error } = await sandbox().runCode(
      'import plotly.express as px\npx.bar(x=["a"], y=[1]).write_image("/tmp/p.png")',
    )
    expect(error?.value).toMatch(/requires Google Chrome/)
  })
})

describe('titles in Chinese, Japanese and Korean', () => {
  test('are drawn without a warning, with a font that has the characters', async () => {
    const { results, logs, error } = await sandbox().runCode(
      'import matplotlib.pyplot as plt\nplt.title("漢字 かな 한글")\nplt.plot([1, 2])\nplt.show()',
    )
    expect(error).toBeUndefined()
    expect(logs.stderr).toEqual([])
    expect(results[0]!.png).toBeDefined()
    expect(await textOf('plt.rcParams["font.family"]')).toBe("['sans-serif', 'Noto Sans CJK JP']")
  })

  test('find the fonts in a list that the image already has', async () => {
    const listed = await sandbox().commands.run(
      'grep -l "Noto Sans CJK JP" ~/.cache/matplotlib/fontlist-*.json',
    )
    expect(listed.stdout).toContain('fontlist')
    expect((await sandbox().commands.run('fc-list :lang=ko family')).stdout).toContain('Noto Sans CJK')
  })
})
