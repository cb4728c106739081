/**
 * Markdown as elements of the page.
 *
 * The text may be a stranger's, so no markup is ever made of it: HTML in it is shown as the text that it is, links lead
 * to other sites in a tab of their own and to nothing but them, and pictures are links, since to load one tells its
 * server who reads the note.
 */
import { lexer, type MarkedToken, type Token, Tokenizer, type Tokens, walkTokens } from "marked";
import { createElement, Fragment, type ReactNode, useMemo } from "react";
import type { MarkdownProps } from "./Markdown";

const DEEPEST = 20; // lists in lists; what lies deeper is shown as it was written
const LONGEST = 50_000; // characters
const PAGES_OWN = 1; // the rank of the page's heading

export default function Formatted({ text, breaks = false, isCode = false }: MarkdownProps) {
  return useMemo(() => {
    const tokens = tokensOf(text, breaks, isCode);
    return tokens === null ? <p className="plain">{text}</p> : blocks(tokens, 0);
  }, [text, breaks, isCode]);
}

class DocstringTokenizer extends Tokenizer {
  override escape(): undefined {}

  override emStrong(source: string, masked: string, before?: string): ReturnType<Tokenizer["emStrong"]> {
    return source.startsWith("_") ? undefined : super.emStrong(source, masked, before);
  }
}

/** Read a text; null if it isn't worth it, or too deep to be read. */
function tokensOf(text: string, breaks: boolean, isCode: boolean): readonly Token[] | null {
  if (text.length > LONGEST) return null;
  try {
    const tokens = lexer(text, { gfm: true, breaks, tokenizer: isCode ? new DocstringTokenizer() : null });
    rankHeadings(tokens);
    return tokens;
  } catch {
    return null;
  }
}

/** Put headings below the page's own, and none more than one below the last: people who hear them go by their ranks. */
function rankHeadings(tokens: Token[]): void {
  let last = PAGES_OWN;
  walkTokens(tokens, (token) => {
    if (token.type !== "heading") return;
    last = Math.min(token.depth + PAGES_OWN, last + 1, 6);
    token.depth = last;
  });
}

function blocks(tokens: readonly Token[] | undefined, depth: number): ReactNode {
  return (tokens ?? []).map((token, at) => {
    // biome-ignore lint/suspicious/noArrayIndexKey: the parts of a text have no other name, and are made anew with it
    return <Fragment key={at}>{depth > DEEPEST ? token.raw : shown(token as MarkedToken, depth + 1)}</Fragment>;
  });
}

function shown(token: MarkedToken, depth: number): ReactNode {
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "heading":
      return createElement(`h${token.depth}`, null, blocks(token.tokens, depth));
    case "paragraph":
      return <p>{blocks(token.tokens, depth)}</p>;
    case "blockquote":
      return <blockquote>{blocks(token.tokens, depth)}</blockquote>;
    case "list":
      return listOf(token, depth);
    case "code":
      return (
        <pre>
          <code>{token.text}</code>
        </pre>
      );
    case "hr":
      return <hr />;
    case "table":
      return tableOf(token, depth);
    case "strong":
      return <strong>{blocks(token.tokens, depth)}</strong>;
    case "em":
      return <em>{blocks(token.tokens, depth)}</em>;
    case "del":
      return <del>{blocks(token.tokens, depth)}</del>;
    case "codespan":
      return <code>{token.text}</code>;
    case "br":
      return <br />;
    case "checkbox":
      return token.checked ? "☑ " : "☐ ";
    case "link":
      return linkTo(token.href, blocks(token.tokens, depth));
    case "image":
      return linkTo(token.href, token.text || token.href);
    case "text":
      return token.tokens === undefined ? token.text : blocks(token.tokens, depth);
    default: // HTML, and what an escaped sign is
      return token.text;
  }
}

function listOf(list: Tokens.List, depth: number): ReactNode {
  const items = list.items.map((item, at) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: as in `blocks`
    <li key={at} className={item.task ? "task" : undefined}>
      {blocks(item.tokens, depth)}
    </li>
  ));
  return list.ordered ? <ol start={list.start === "" ? 1 : list.start}>{items}</ol> : <ul>{items}</ul>;
}

function tableOf(table: Tokens.Table, depth: number): ReactNode {
  const cells = (row: readonly Tokens.TableCell[]) =>
    row.map((cell, at) =>
      createElement(
        cell.header ? "th" : "td",
        { key: at, style: cell.align === null ? {} : { textAlign: cell.align } },
        blocks(cell.tokens, depth),
      ),
    );
  return (
    <table>
      <thead>
        <tr>{cells(table.header)}</tr>
      </thead>
      <tbody>
        {table.rows.map((row, at) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: as in `blocks`
          <tr key={at}>{cells(row)}</tr>
        ))}
      </tbody>
    </table>
  );
}

function linkTo(address: string, content: ReactNode): ReactNode {
  if (!isElsewhere(address)) return <>{content}</>;
  return (
    <a className="nodrag" href={address} title={address} target="_blank" rel="noopener noreferrer">
      {content}
    </a>
  );
}

/** Tell whether an address is another site's; scripts, files and our own API are none. */
function isElsewhere(address: string): boolean {
  try {
    return ["https:", "http:", "mailto:"].includes(new URL(address).protocol);
  } catch {
    return false;
  }
}
