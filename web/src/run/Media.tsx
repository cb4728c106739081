import { assetUrl } from "../api/routes";
import { t } from "../i18n";
import type { ShownFile } from "../stores/runStore";
import { Icon } from "./icons";
import { sizeText } from "./pictures";
import "../styles/media.css";

/** What a job made that is played, or saved to be opened by other programs. */
export function Media({ files }: { files: readonly ShownFile[] }) {
  return (
    <ul className="media" aria-label={t("run.files")}>
      {files.map((file) => (
        <li key={file.asset}>
          <Player file={file} />
          <a href={assetUrl(file.asset)} download={nameOf(file)}>
            <Icon name="download" size={14} />
            <span>{nameOf(file)}</span>
            <small>{sizeText(file.size_bytes)}</small>
          </a>
        </li>
      ))}
    </ul>
  );
}

function Player({ file }: { file: ShownFile }) {
  const source = assetUrl(file.asset);
  const label = t("run.play", { name: nameOf(file) });
  // a model made it, and nobody wrote down what is said in it
  if (file.media_type.startsWith("video/")) {
    // biome-ignore lint/a11y/useMediaCaption: there are no captions
    return <video src={source} aria-label={label} controls loop playsInline />;
  }
  if (file.media_type.startsWith("audio/")) {
    // biome-ignore lint/a11y/useMediaCaption: there are no captions
    return <audio src={source} aria-label={label} controls preload="metadata" />;
  }
  return null;
}

function nameOf(file: ShownFile): string {
  return file.path.split("/").at(-1) ?? file.path;
}
